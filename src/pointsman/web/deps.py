"""How a route gets its caller and its service: both are put in place by the edge and the composition root."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from pointsman.kit.principal import Principal

T = TypeVar("T")
PRINCIPAL = "pointsman.principal"
SERVICES = "pointsman.services"


def provided(kind: type[T]) -> Callable[[HTTPConnection], Coroutine[Any, Any, T]]:
    """A dependency that yields the process's one instance of `kind`.

    Usage: `Prompts = Annotated[PromptService, Depends(provided(PromptService))]`.
    """

    # A coroutine although it awaits nothing: FastAPI sends plain functions through a thread, at the price of half a small answer.
    async def find(connection: HTTPConnection) -> T:
        return service(connection, kind)

    return find


def service(connection: HTTPConnection, kind: type[T]) -> T:
    """The same for plain Starlette routes."""
    return cast("T", connection.scope["state"][SERVICES][kind])


def caller(connection: HTTPConnection) -> Principal:
    """Who is calling, as the edge authenticated it. The edge has already checked the route's scope."""
    return cast("Principal", connection.scope[PRINCIPAL])


async def _caller(connection: HTTPConnection) -> Principal:
    return caller(connection)


Caller = Annotated[Principal, Depends(_caller)]
