"""How a plain Starlette route says what it takes and answers, so that it stands in the OpenAPI document beside FastAPI's."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

LOCATION: Mapping[str, Any] = {"Location": {"required": True, "description": "Where it is found.", "schema": {"type": "string"}}}
EVENT_STREAM = "text/event-stream"
HTML = "text/html"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query or header parameter; `schema` is JSON Schema."""

    name: str
    where: str = "query"
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an operation: `model` is a msgspec or plain type for JSON, `stream` adds an event stream beside it.

    `media` is the type of a body that no model describes; `headers` are OpenAPI's Header objects by name.
    """

    description: str
    model: Any = None
    stream: bool = False
    media: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation takes and answers. `problems` are the statuses of failures that the edge does not know of.

    `body` is a msgspec Struct; with `body_required=False` an empty body is let through. The edge reads, bounds and scans
    the body before the route runs, exactly when `body` is given.
    """

    id: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    body: Any = None
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    description: str = ""
    problems: tuple[int, ...] = ()
    form: Mapping[str, Any] | None = None  # JSON Schema of multipart/form-data that is taken beside JSON, where the policy streams it


class DescribedRoute(Route):
    """A Starlette route of one method with its operation.

    `endpoint` is `async (Request) -> Response`, or any ASGI application that is no plain function. The body that was read
    is `scope["pointsman.body"]`; `await request.body()` gives the same.
    """

    def __init__(self, method: str, path: str, endpoint: Callable[..., Awaitable[Any]], operation: Operation) -> None:
        super().__init__(path, endpoint, methods=[method], name=operation.id)
        # Starlette adds HEAD to GET; the edge serves HEAD itself, for every route alike.
        self.methods = {method}
        self.operation = operation
        if inspect.iscoroutinefunction(endpoint):
            self.app = _answering(endpoint)


def _answering(endpoint: Callable[..., Awaitable[Any]]) -> ASGIApp:
    """Without Starlette's own exception handling around each message that is sent: the edge has that once for all."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response: ASGIApp = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
