"""Asks the thin adapter and the SDK-backed one the same and takes down what each sent and made of the answer."""

from __future__ import annotations

import asyncio
import json
import random
import re
import warnings
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
from pydantic import SecretStr

from pointsman.llm.errors import ModelProblem
from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall, ReasoningDelta, TextDelta, Usage
from pointsman.llm.providers.chat_completions import adapter as thin
from pointsman.llm.providers.port import Adapter, Reply
from pointsman.settings import ProviderSettings

_OURS = re.compile(r"(call_|pyd_ai_)[0-9a-f]{32}")  # ids made here, where the provider gave none


class Served(msgspec.Struct, frozen=True):
    """What the provider answers; `cuts` are the places where the body is sent in pieces."""

    body: bytes
    status: int = 200
    media_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    cuts: tuple[int, ...] = ()
    breaks: bool = False  # the connection is closed right after the last piece

    @classmethod
    def at_random(cls, rng: random.Random, body: bytes, **more: Any) -> Served:
        """The body in up to twenty pieces."""
        cuts = sorted(rng.randrange(1, max(len(body), 2)) for _ in range(rng.choice((0, 1, 3, 8, 20))))
        return cls(body, cuts=tuple(cuts), **more)

    def pieces(self) -> list[bytes]:
        ends = [*self.cuts, len(self.body)]
        return [piece for begin, end in zip([0, *self.cuts], ends, strict=True) if (piece := self.body[begin:end])]


class Outcome(msgspec.Struct, frozen=True):
    """What an adapter made of it: the reply or the problem, the deltas that came, and the request it sent."""

    request: Any
    shown: list[tuple[str, str]]
    reply: Any = None
    code: str = ""
    may_pass: bool = False
    retry_after: float | None = None
    status: Any = None
    reached: bool = False
    produced: int | None = None
    reported: Usage | None = None


class Both:
    """The two adapters of each provider, at a server that answers as it is told."""

    def __init__(self, port: int) -> None:
        self.served = Served(b"")
        self.requests: list[Any] = []
        self._port = port
        self._adapters: dict[str, tuple[Adapter, Adapter]] = {}

    async def ask(self, provider: str, model: str, call: ModelCall, served: Served, *, stream: bool) -> tuple[Outcome, Outcome]:
        """What the thin adapter and the SDK-backed one make of it."""
        self.served = served
        ours, theirs = await self._open(provider)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, of what it drops
            return await self.outcome(ours, model, call, stream=stream), await self.outcome(theirs, model, call, stream=stream)

    async def adapters(self, provider: str) -> tuple[Adapter, Adapter]:
        """The thin one and the SDK-backed one."""
        return await self._open(provider)

    async def aclose(self) -> None:
        for pair in self._adapters.values():
            for adapter in pair:
                await adapter.aclose()

    async def _open(self, name: str) -> tuple[Adapter, Adapter]:
        from pointsman.llm.providers import openai as sdk_backed

        if name not in self._adapters:
            provider = _provider(name, f"http://127.0.0.1:{self._port}/v1")
            self._adapters[name] = (
                await asyncio.to_thread(thin.open_adapter, provider),
                await asyncio.to_thread(sdk_backed.open_adapter, provider),
            )
        return self._adapters[name]

    async def outcome(self, adapter: Adapter, model: str, call: ModelCall, *, stream: bool) -> Outcome:
        """What one of them makes of it."""
        self.requests.clear()
        shown: list[tuple[str, str]] = []
        try:
            reply = await (_drained(adapter, model, call, shown) if stream else adapter.complete(model, call))
        except ModelProblem as problem:
            return Outcome(
                self._sent(),
                shown,
                code=problem.code,
                may_pass=problem.may_pass,
                retry_after=problem.retry_after,
                status=problem.fields.get("upstream_status"),
                # Where a redirect would have led is not where the call went.
                reached=problem.reached and "Error code: 3" not in problem.detail,
                produced=problem.produced,
                reported=problem.reported,
            )
        return Outcome(self._sent(), shown, _plain(reply))

    def _sent(self) -> Any:
        assert len(self.requests) <= 1
        return self.requests[0] if self.requests else None


async def _drained(adapter: Adapter, model: str, call: ModelCall, shown: list[tuple[str, str]]) -> Reply:
    async with aclosing(adapter.stream(model, call)) as items:
        async for item in items:
            if isinstance(item, Reply):
                return item
            kind = "text" if isinstance(item, TextDelta) else "thought"
            assert isinstance(item, TextDelta | ReasoningDelta)
            if shown and shown[-1][0] == kind:
                shown[-1] = (kind, shown[-1][1] + item.text)
            else:
                shown.append((kind, item.text))
    raise AssertionError("a stream ends with its reply")


def _plain(reply: Reply) -> Any:
    return json.loads(_OURS.sub("made-here", msgspec.json.encode(reply).decode()))


def _provider(name: str, base_url: str) -> Provider:
    settings = ProviderSettings(base_url=base_url, context_pdf=True)
    return Provider(
        name=name,
        wire="openai",
        section=name.upper(),
        base_url=base_url,
        api_key=SecretStr("key-of-both"),
        limits=settings,
        key_variable="OPENAI_API_KEY" if name == "openai" else None,
        built_in=name == "openai",
        own_address=True,
    )


@asynccontextmanager
async def both_adapters() -> AsyncGenerator[Both]:
    """Both, with a server of their own that sends each piece alone."""
    both: Both

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # pyright: ignore[reportOptionalSubscript]
                both.requests.append(json.loads(await reader.readexactly(length)))
                await _send(writer, both.served)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    both = Both(server.sockets[0].getsockname()[1])
    try:
        yield both
    finally:
        await both.aclose()
        server.close()


async def _send(writer: asyncio.StreamWriter, served: Served) -> None:
    extra = "".join(f"{name}: {value}\r\n" for name, value in served.headers)
    head = f"HTTP/1.1 {served.status} Said\r\nContent-Type: {served.media_type}\r\n{extra}Transfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    for piece in served.pieces():
        if writer.is_closing():
            return
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await asyncio.sleep(0)
    if served.breaks:
        writer.close()
        return
    writer.write(b"0\r\n\r\n")
    await writer.drain()
