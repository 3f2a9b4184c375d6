"""A closed-loop load generator: so many requests over so many connections, then it ends; latencies in milliseconds."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Target:
    """Where requests go, and how a chat of `tokens` tokens is asked there; `token` marks one token in its stream."""

    name: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any]
    token: bytes

    def request(self, *, tokens: int, pause_ms: float, stream: bool) -> dict[str, Any]:
        """The JSON body."""
        text = f"Say something [[n={tokens} itl={pause_ms} ttft=0]]"
        message: dict[str, Any] = {"message": text} if "messages" not in self.body else {"messages": [{"role": "user", "content": text}]}
        options = {"stream_options": {"include_usage": True}} if stream and "messages" in self.body else {}
        return {**self.body, **message, **options, "stream": stream}


@dataclass
class Result:
    """What a load showed."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    first_tokens: list[float] = field(default_factory=list[float])
    tokens: int = 0
    failures: int = 0

    @property
    def per_second(self) -> float:
        """Answered requests."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float, of: list[float] | None = None) -> float:
        """Milliseconds below which that share of the requests stayed."""
        values = sorted(self.latencies if of is None else of)
        return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


async def chats(target: Target, *, requests: int, connections: int, tokens: int) -> Result:
    """JSON chats as fast as the target answers."""
    body = target.request(tokens=tokens, pause_ms=0, stream=False)
    result, left = Result(), iter(range(requests))
    async with _session(target, connections) as session:

        async def worker() -> None:
            for _ in left:
                began = time.perf_counter()
                async with session.post(target.url, json=body) as answer:
                    whole = answer.status == 200 and b"tok0" in await answer.read()
                result.failures += not whole
                result.latencies.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(connections)))
        result.seconds = time.perf_counter() - began
    return result


async def streams(target: Target, *, streams: int, tokens: int, pause_ms: float) -> Result:
    """So many paced streams at the same time."""
    body, result = target.request(tokens=tokens, pause_ms=pause_ms, stream=True), Result()
    async with _session(target, streams) as session:

        async def one() -> None:
            began, seen = time.perf_counter(), 0
            async with session.post(target.url, json=body) as answer:
                async for chunk in answer.content.iter_any():
                    if not seen and target.token in chunk:
                        result.first_tokens.append((time.perf_counter() - began) * 1000)
                    seen += chunk.count(target.token)
            result.tokens += seen
            result.failures += seen < tokens
            result.latencies.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(streams)))
        result.seconds = time.perf_counter() - began
    return result


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def _session(target: Target, connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers=target.headers, connector=aiohttp.TCPConnector(limit=connections), timeout=aiohttp.ClientTimeout(total=120)
    )
