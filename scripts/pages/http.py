"""The page of HTTP routes, and the OpenAPI document it is made from."""

from __future__ import annotations

import json
from typing import Any, cast

from pages.markdown import code, page, table
from pointsman.api import openapi
from pointsman.api.app import flatten
from pointsman.api.health import Health
from pointsman.api.policies import Policy
from pointsman.api.ports import Gateway
from pointsman.api.routing import Endpoint, RouteTable
from pointsman.bootstrap import routers
from pointsman.web.openapi import DescribedRoute

INTRODUCTION = """
Bodies are JSON; unknown fields are refused. Lists answer `{"items": [...], "next_cursor": ...}` and take `limit` and `cursor`.
`PATCH` is a JSON merge patch. Times are RFC 3339 in UTC. Every failure is a [problem](../problems/index.md).
Every answer carries `X-Request-Id`.

All parameters, bodies and answers are in the OpenAPI document: [openapi.json](openapi.json), also served at `/openapi.json`.
"""


def pages() -> dict[str, str]:
    """The page, by its path below docs/."""
    made = document()
    tags: dict[str, list[tuple[str, str, str, str]]] = {}
    for endpoint in endpoints():
        operation = made["paths"][endpoint.template][endpoint.method.lower()]
        tags.setdefault(operation["tags"][0], []).append(row_of(endpoint, operation))
    blocks = [block for tag, rows in sorted(tags.items()) for block in (f"## {tag.capitalize()}", table(("", "Path", "Scope", ""), rows))]
    return {"reference/http.md": page("HTTP", INTRODUCTION, *blocks)}


def snapshot() -> str:
    """The OpenAPI document as it lies in the repository."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The OpenAPI document of all routes."""
    return openapi.document(endpoints())


def endpoints() -> list[Endpoint]:
    """Every route of every slice with its policy, and those without a key. No gateway is needed to describe them."""
    health = Health(cast("Gateway", None))
    return RouteTable([*health.routes(), *flatten(routers())]).endpoints


def row_of(endpoint: Endpoint, operation: dict[str, Any]) -> tuple[str, str, str, str]:
    """Method, path, scope, and what it does."""
    # FastAPI makes the summary from the function's name and the description from its docstring; a described route has a summary of its own.
    says = operation["summary"] if isinstance(endpoint.route, DescribedRoute) else operation["description"].split("\n\n")[0]
    return (endpoint.method, code(endpoint.template), scope_of(endpoint.policy), says)


def scope_of(policy: Policy) -> str:
    """What a caller needs."""
    if policy.public:
        return "no key"
    return " or ".join(code(scope) for scope in policy.scopes) or "any key"
