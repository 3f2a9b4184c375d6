"""The routes of a slice over HTTP, without the edge: problems become answers by the edge's table, the caller is a given one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from pointsman.api.problems import render, translate
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Problem
from pointsman.web.deps import PRINCIPAL, SERVICES

CALLER = Principal(key_id=1, key_name="editor", owner_id=None, scopes=frozenset({"admin"}), tenant=None)


@asynccontextmanager
async def client_of(*routers: APIRouter, services: Mapping[type[Any], object]) -> AsyncGenerator[httpx.AsyncClient]:
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(RequestValidationError, _answer)

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, PRINCIPAL: CALLER, "state": {SERVICES: services}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://gateway") as client:
        yield client


async def at_once(*actions: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Let all begin at one barrier; their results or exceptions in order."""
    barrier = asyncio.Barrier(len(actions))

    async def begin(action: Callable[[], Awaitable[Any]]) -> Any:
        await barrier.wait()
        return await action()

    return await asyncio.gather(*(begin(action) for action in actions), return_exceptions=True)


async def _answer(request: Request, error: Exception) -> Response:
    field = request.scope["route"].body_field
    problem = translate(error, None if field is None else field.field_info.annotation)
    if problem is None:
        raise error
    rendered = render(problem, "req")
    return Response(rendered.body, rendered.status, media_type="application/problem+json")
