"""Which endpoint a request is for: every route with its policy, found by the segments of its path in one pass."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from pointsman.api.policies import POLICIES, Policy, policy_of
from pointsman.web.openapi import HTML, DescribedRoute


class RouteRefusedError(TypeError):
    """A route without a policy, or of a sort that the edge cannot enforce one for; the process does not start with it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one route.

    `takes_json` says that its body is read, bounded and scanned before it runs, `shows_page` that people's browsers come to it.
    """

    method: str
    template: str
    policy: Policy
    app: ASGIApp
    route: Route
    parameters: tuple[str, ...]
    takes_json: bool
    body_required: bool
    body_model: Any
    needs_exit_stack: bool
    shows_page: bool


@dataclass(slots=True)
class _Node:
    named: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    any: _Node | None = None
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])


@dataclass(frozen=True, slots=True)
class Found:
    """The endpoints of a path by method, and the values of its parameters in order."""

    endpoints: Mapping[str, Endpoint]
    values: tuple[str, ...]


class RouteTable:
    """Built once; raises RouteRefusedError for any route without a policy."""

    def __init__(self, routes: Sequence[BaseRoute], policies: Mapping[str, Policy] = POLICIES) -> None:
        self.endpoints = [endpoint for route in routes for endpoint in _endpoints(route, policies)]
        self._root = _Node()
        for endpoint in self.endpoints:
            self._add(endpoint)

    def find(self, raw_path: bytes) -> Found | None:
        """The endpoints of an undecoded path: an encoded slash is part of a value, never the end of one."""
        path = raw_path.decode("ascii")
        segments = path.split("/")[1:]
        if "%" in path:
            segments = [urllib.parse.unquote(segment, errors="strict") for segment in segments]
        return _descend(self._root, segments, 0, ())

    def _add(self, endpoint: Endpoint) -> None:
        node = self._root
        for segment in endpoint.template.split("/")[1:]:
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.named.setdefault(segment, _Node())
        if endpoint.method in node.endpoints:
            raise RouteRefusedError(f"Two routes answer {endpoint.method} {endpoint.template}.")
        node.endpoints[endpoint.method] = endpoint


def _descend(node: _Node, segments: list[str], position: int, values: tuple[str, ...]) -> Found | None:
    if position == len(segments):
        return Found(node.endpoints, values) if node.endpoints else None
    segment = segments[position]
    named = node.named.get(segment)
    found = _descend(named, segments, position + 1, values) if named else None
    if found is None and node.any is not None and segment:
        return _descend(node.any, segments, position + 1, (*values, segment))
    return found


def _endpoints(route: BaseRoute, policies: Mapping[str, Policy]) -> Iterator[Endpoint]:
    if not isinstance(route, Route) or not route.methods:
        raise RouteRefusedError(f"{route!r} is no plain route with methods, so no policy can be enforced for it.")
    parameters = tuple(_PARAMETER.findall(route.path))
    if "".join(_PARAMETER.split(route.path)[::2]).count("{"):
        raise RouteRefusedError(f"{route.path}: a parameter is one whole segment, without a converter.")
    for method in sorted(route.methods):
        policy = policy_of(method, route.path, policies)
        if policy is None:
            raise RouteRefusedError(f"{method} {route.path} has no policy: add it to pointsman.api.policies.")
        takes_json, required, model = _body(route)
        framed = isinstance(route, APIRoute)
        yield Endpoint(method, route.path, policy, route.app, route, parameters, takes_json, required, model, framed, _is_page(route))


def _body(route: Route) -> tuple[bool, bool, Any]:
    """Whether a route takes a JSON body, whether it must be there, and the type it is read as."""
    if isinstance(route, DescribedRoute):
        return route.operation.body is not None, route.operation.body_required, route.operation.body
    if isinstance(route, APIRoute) and route.body_field is not None:
        info = route.body_field.field_info
        return not isinstance(info, Form), info.is_required(), info.annotation
    return False, False, None


def _is_page(route: Route) -> bool:
    return isinstance(route, DescribedRoute) and any(answer.media == HTML for answer in route.operation.answers.values())


_PARAMETER = re.compile(r"(?<=/)\{([A-Za-z_][A-Za-z0-9_]*)\}(?=/|$)")
