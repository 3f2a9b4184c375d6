"""More than the bounds of a process: what is over each of them is refused at once with a time to come back, and the rest goes on.

One replica with small bounds. Each round fills one bound after the other (runs, streams, bytes of bodies, requests) with real work, and
sends probes meanwhile: each must be answered 413, 429 or 503 within 50 ms, with `Retry-After` where coming back helps, while `/livez`
answers as ever. In the end a reader that reads nothing is cut off, and goes on from the id it saw last.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call
from tests.faults.report import Told
from tests.faults.stage import Stage

BOUNDS = {"RUNS": 12, "STREAMS": 6, "REQUESTS": 24, "BODIES": 2_000_000, "BODY": 900_000}
VARIABLES = {
    "POINTSMAN_LIMITS__LIVE_RUNS": str(BOUNDS["RUNS"]),
    "POINTSMAN_LIMITS__STREAMS": str(BOUNDS["STREAMS"]),
    "POINTSMAN_LIMITS__CONNECTIONS": str(BOUNDS["REQUESTS"]),
    "POINTSMAN_LIMITS__BODIES_BYTES": str(BOUNDS["BODIES"]),
    "POINTSMAN_LIMITS__CHAT_BODY_BYTES": str(BOUNDS["BODY"]),
    "POINTSMAN_LIMITS__TENANT_SHARE": "1",
}
PROBES = 10
QUICK_MS = 50.0
_STUCK = 75.0  # seconds: the buffers fill within some, then 30 and at most another look 15 later the reader must have been cut off
_HELD_MS = 1200


@dataclass
class Seen:
    """What the probes were told, by bound, and in how many milliseconds."""

    refusals: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    codes: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])

    def note(self, bound: str, call: Call, codes: set[str]) -> None:
        self.refusals.setdefault(bound, []).append((call.ended - call.began) * 1000)
        self.codes[call.code or str(call.status)] += 1
        if call.code not in codes:
            self.failures.append(f"beyond the bound on {bound}: {call.status} {call.code or call.error}")
        elif not call.retry_after and call.status != 413:
            self.failures.append(f"beyond the bound on {bound}: no Retry-After with {call.code}")


async def perform(stage: Stage) -> Told:
    agent = await stage.agent()
    client = stage.client("client")
    await client.chat(agent, "the first call loads what calls need [[n=3]]")
    seen = Seen()
    for number in range(stage.options.count):
        if stage.time_left < 60:
            break
        began = time.time()
        for bound, hold in (("runs", _runs), ("streams", _streams), ("bodies", _bodies), ("requests", _requests)):
            await hold(stage, client, agent, f"{bound} {number}", seen)
        await _too_large(client, agent, f"large {number}", seen)
        stage.record.fault("overload", began)
        await client.chat(agent, f"afterwards {number} [[n=3]]", expected="tok0 tok1 tok2 ")
    if not stage.options.sample:
        await _stuck_reader(stage, client, seen)
    return _told(stage, seen)


# --- the bounds


async def _runs(stage: Stage, client: Client, agent: str, name: str, seen: Seen) -> None:
    async def probe(number: int) -> Call:
        return await client.chat(agent, f"{name} probe {number} [[n=1]]")

    held = (client.chat(agent, f"{name} held {number} [[n=3 ttft={_HELD_MS}]]") for number in range(BOUNDS["RUNS"]))
    await _probed(stage, held, probe, "runs", {"too-many-runs"}, seen, until_runs=BOUNDS["RUNS"])


async def _streams(stage: Stage, client: Client, agent: str, name: str, seen: Seen) -> None:
    async def probe(number: int) -> Call:
        return await client.stream(agent, f"{name} probe {number} [[n=1]]")

    held = (client.stream(agent, f"{name} held {number} [[n=3 ttft={_HELD_MS}]]") for number in range(BOUNDS["STREAMS"]))
    await _probed(stage, held, probe, "streams", {"too-many-streams"}, seen, until_runs=BOUNDS["STREAMS"])


async def _probed(
    stage: Stage,
    held: Iterable[Awaitable[Call]],
    probe: Callable[[int], Awaitable[Call]],
    bound: str,
    codes: set[str],
    seen: Seen,
    *,
    until_runs: int,
) -> None:
    holders = [asyncio.ensure_future(one) for one in held]
    async with asyncio.timeout(20):
        while len((await stage.ask("GET", "/v2/runs?status=running&limit=100"))["items"]) < until_runs:
            await asyncio.sleep(0.01)
    for number in range(PROBES):
        seen.note(bound, await probe(number), codes)
    await asyncio.gather(*holders)


async def _bodies(stage: Stage, client: Client, agent: str, name: str, seen: Seen) -> None:
    """Uploads that stop in the middle hold most of the bytes there are."""
    size = BOUNDS["BODY"] - 1000
    async with _stalled(stage, agent, uploads=2, size=size):
        for number in range(PROBES):
            call = await client.chat(agent, f"{name} probe {number} [[n=1]] " + "x" * 400_000)
            seen.note("bodies", call, {"too-busy"})
        await _alive(client, seen)


async def _requests(stage: Stage, client: Client, agent: str, name: str, seen: Seen) -> None:
    async with _stalled(stage, agent, uploads=BOUNDS["REQUESTS"], size=1000):
        for number in range(PROBES):
            seen.note("requests", await client.chat(agent, f"{name} probe {number} [[n=1]]"), {"too-busy"})
        await _alive(client, seen)


async def _too_large(client: Client, agent: str, name: str, seen: Seen) -> None:
    for number in range(PROBES):
        seen.note("one body", await client.chat(agent, f"{name} {number} " + "x" * BOUNDS["BODY"]), {"body-too-large"})


async def _alive(client: Client, seen: Seen) -> None:
    call = await client.request("alive", "GET", "/livez")
    if call.status != 200:
        seen.failures.append(f"/livez answered {call.status} while the process was full")


@asynccontextmanager
async def _stalled(stage: Stage, agent: str, *, uploads: int, size: int) -> AsyncGenerator[None]:
    """So many requests whose bodies lack their last byte."""
    address = urlsplit(stage.alive()[0].url)
    body = msgspec.json.encode({"message": "x" * (size - 14)})
    head = (
        f"POST /v2/agents/{agent}/chat HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {stage.secrets['key admin']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(uploads):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writers.append(writer)
            writer.write(head.encode() + body[:-1])
            await writer.drain()
        await asyncio.sleep(0.5)
        yield
    finally:
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.2)


# --- a reader that does not read


async def _stuck_reader(stage: Stage, client: Client, seen: Seen) -> None:
    """Ask for a long stream, read a little, then nothing; the connection must be broken, and the rest be there to be had."""
    address = urlsplit(stage.alive()[0].url)
    # An event for each word: the system holds several megabytes for a connection before its sender notices.
    talker = await stage.agent(model="scripted:echo")
    message = "a stuck reader " + "x " * 100_000
    body = msgspec.json.encode({"message": message, "stream": True, "session_id": "stuck"})
    head = (
        f"POST /v2/agents/{talker}/chat HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {stage.secrets['key admin']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, (address.hostname, address.port))
        await loop.sock_sendall(line, head.encode() + body)
        first = await loop.sock_recv(line, 2048)
        await asyncio.sleep(_STUCK)
        cut = await _ends(loop, line)
    if not cut:
        seen.failures.append(f"a reader that read nothing for {_STUCK:g} s was not cut off")
    run_id = first.partition(b"location: /v2/runs/")[2].partition(b"\r\n")[0].decode()
    rest = await client.follow(run_id, 1, message=message)
    if rest.run_status != "completed":
        seen.failures.append(f"the run of the stuck reader could not be read on: {rest.status} {rest.run_status}")


async def _ends(loop: asyncio.AbstractEventLoop, line: socket.socket) -> bool:
    """Whether the connection breaks once what lies in its buffers has been read."""
    received = b""
    try:
        async with asyncio.timeout(5):
            while piece := await loop.sock_recv(line, 65_536):
                received = (received + piece)[-200:]
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return b"run.completed" not in received


def _told(stage: Stage, seen: Seen) -> Told:
    figures: dict[str, object] = {}
    for bound, taken in seen.refusals.items():
        ordered = sorted(taken)
        slowest, p99 = ordered[-1], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        figures[f"refusals beyond the bound on {bound}: number, p50, p99, slowest in ms"] = (
            f"{len(ordered)}, {ordered[len(ordered) // 2]:.1f}, {p99:.1f}, {slowest:.1f}"
        )
        # A sample shares its machine with other tests, and says nothing about time.
        if not stage.options.sample and p99 > QUICK_MS:
            seen.failures.append(f"beyond the bound on {bound}: refused only after {p99:.0f} ms")
    all_of_them = [each for taken in seen.refusals.values() for each in taken]
    return Told(
        figures={**figures, "what was said": ", ".join(f"{code}: {count}" for code, count in seen.codes.items())},
        charts={"refusals": charts.histogram("Refusals", all_of_them, x="ms to the answer", y="refusals")},
        failures=list(dict.fromkeys(seen.failures))[:20],
    )


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("overload", __doc__ or "", count=20, duration=400, sample=1),
            perform,
            title="More than the bounds of a process",
            required=("G1", "G5", "G10"),
            replicas=1,
            variables=VARIABLES,
        )
    )
