"""The routes without a key: alive, ready, metrics, the OpenAPI document and what each problem means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from pointsman.api.ports import Gateway
from pointsman.api.problems import page
from pointsman.kit.problems import Kind, NotFound, Problem, Unavailable
from pointsman.kit.telemetry import CONTENT_TYPE_LATEST
from pointsman.migrations.state import HEAD, read_revision
from pointsman.web.openapi import JSON, Answer, DescribedRoute, Operation, Parameter

_READY_WITHIN_SECONDS = 2


class NotReady(Problem):
    """This process should get no new requests: it is stopping, its database does not answer, or the database is not migrated yet.

    The detail says which. A load balancer asks again by itself; `pointsman doctor` helps where it stays so.
    """

    kind = Kind.UNAVAILABLE
    code = "not-ready"
    title = "Not ready"


class Health:
    """The routes of one gateway; `describe` makes the OpenAPI document, which takes too long for the start."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.describe: Callable[[], dict[str, Any]] = dict
        self._document: bytes | None = None

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            _route("/livez", self.live, "live", "Whether the process runs. Never asks the database.", JSON),
            _route("/readyz", self.ready, "ready", "Whether the process should get requests.", JSON),
            _route("/metrics", self.metrics, "metrics", "What is counted, in the text format of Prometheus.", "text/plain"),
            _route("/openapi.json", self.openapi, "openapi", "This document.", JSON),
            _route("/problems/{code}", self.problem, "problem", "What a problem means and what to do about it.", "text/markdown", _CODE),
        ]

    async def live(self, request: Request) -> Response:
        """The process runs and its loop turns."""
        del request
        return _json({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """The database answers, is migrated, and the process does not stop. Raises NotReady."""
        del request
        if self._gateway.draining.is_set():
            raise NotReady("The process is stopping.", retry_after=1)
        try:
            async with asyncio.timeout(_READY_WITHIN_SECONDS), self._gateway.db.connection() as connection:
                revision = await read_revision(connection)
        except (Unavailable, TimeoutError):
            raise NotReady("The database does not answer.", retry_after=1) from None
        if revision is None or revision < HEAD:
            raise NotReady("The database is not migrated.", hint="Run `pointsman migrate`.", retry_after=1)
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """For scrapers."""
        del request
        return Response(self._gateway.metrics.render(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def openapi(self, request: Request) -> Response:
        """The document, made when it is first asked for."""
        del request
        if self._document is None:
            self._document = msgspec.json.encode(await asyncio.to_thread(self.describe))
        return Response(self._document, media_type="application/json")

    async def problem(self, request: Request) -> Response:
        """The page of one code."""
        text = page(request.path_params["code"])
        if text is None:
            raise NotFound("No problem has this code.")
        return Response(text, headers={"content-type": "text/markdown; charset=utf-8"})


_CODE = (Parameter("code", where="path", description="The `code` of a problem.", required=True),)


def _route(path: str, endpoint: Any, name: str, summary: str, media: str, parameters: tuple[Parameter, ...] = ()) -> DescribedRoute:
    operation = Operation(id=name, summary=summary, tag="health", answers={200: Answer("It is so.", media=media)}, parameters=parameters)
    return DescribedRoute("GET", path, endpoint, operation)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), headers={"content-type": "application/json"})
