"""The floor: the least a gateway can do. A streaming proxy to the upstream without key, limit, run, history or usage."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from yarl import URL

_UPSTREAM = os.environ.get("FLOOR_UPSTREAM", "http://127.0.0.1:1")
_opened: list[aiohttp.ClientSession] = []


async def forward(request: Request) -> Response:
    """Pass the request on, and the answer back."""
    if not _opened:
        _opened.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    body = await request.body()
    url = URL(f"{_UPSTREAM}{request.url.path}", encoded=True)
    answer = await _opened[0].request(request.method, url, data=body, headers={"content-type": "application/json"})
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        return StreamingResponse(_chunks(answer), status_code=answer.status, media_type="text/event-stream")
    async with answer:
        return Response(await answer.read(), status_code=answer.status, media_type="application/json")


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    async with answer:
        async for chunk in answer.content.iter_any():
            yield chunk


async def live(_request: Request) -> Response:
    """The process runs."""
    return Response(b"{}", media_type="application/json")


app = Starlette(routes=[Route("/livez", live), Route("/{path:path}", forward, methods=["GET", "POST"])])
