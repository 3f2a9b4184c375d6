"""One call to nobody when an adapter is opened: the SDKs build their types at the first call, half a second that is no stream's to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx2

from pointsman.llm.errors import ModelProblem
from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall, Text, ToolSpec, UserMessage
from pointsman.llm.providers.adapter import SdkAdapter

_rehearsed: set[str] = set()  # once a process is enough: providers of a wire format share their types
_TOOL = ToolSpec("rehearse", "Does nothing.", {"type": "object", "properties": {}})


def rehearse(make: Callable[[Provider, httpx2.AsyncClient], SdkAdapter], provider: Provider, model: str, answer: bytes) -> None:
    """Ask an adapter of its own that is connected to nothing; runs in a thread, on a loop of its own."""
    if provider.wire in _rehearsed:
        return
    _rehearsed.add(provider.wire)

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=answer, headers={"Content-Type": "application/json"})

    async def ask() -> None:
        adapter = make(provider, httpx2.AsyncClient(transport=httpx2.MockTransport(respond), timeout=10))
        call = ModelCall((model,), "x", (UserMessage((Text("x"),)),), tools=(_TOOL,), settings={"max_tokens": 16})
        with suppress(ModelProblem):
            await adapter.complete(model, call)
        await adapter.aclose()

    asyncio.run(ask())
