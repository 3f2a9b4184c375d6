"""The load generator, a process of its own: `python -m benchmarks.generator` reads jobs from standard input and answers on standard output.

The line `stop` ends a job early. Answers are kept and judged after the last one came, so that judging takes no time from the load.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from itertools import cycle

import msgspec
import uvloop

from benchmarks.jobs import NUMBER, Job, Outcome
from benchmarks.judging import first_token, what_is_wrong
from benchmarks.wire import Connection

_LONGEST = 180.0


class Running:
    """A job under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.payloads = cycle([payload.encode() for payload in job.payloads])
        self.numbered = any(NUMBER in payload for payload in job.payloads)
        self.sent = 0
        self.answers: list[tuple[int, bytes]] = []
        self.latencies: list[float] = []
        self.firsts: list[float] = []
        self.failures: Counter[str] = Counter()
        self.open = self.most_open = 0
        self.stopping = False
        self.done = asyncio.Event()
        self.connections: list[Connection] = []

    async def run(self) -> Outcome:
        """Connect, load, judge."""
        loop, job = asyncio.get_running_loop(), self.job
        for number in range(job.connections):
            port = job.ports[number % len(job.ports)]
            _, made = await loop.create_connection(lambda: Connection(self, first_token(job.shape)), "127.0.0.1", port)
            self.connections.append(made)
        cpu, began = time.process_time(), time.perf_counter()
        for number, connection in enumerate(self.connections):
            loop.call_later(job.ramp_seconds * number / job.connections, self.next, connection)
        try:
            await asyncio.wait_for(self.done.wait(), _LONGEST)
        except TimeoutError:
            self.failures["not answered in time"] += self.sent - len(self.latencies)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        self.stopping = True
        for connection in self.connections:
            connection.close()
        self.failures.update(wrong for answer in self.answers if (wrong := what_is_wrong(job, *answer)))
        return Outcome(seconds, self.latencies, self.firsts, dict(self.failures), self.most_open, cpu)

    def next(self, connection: Connection) -> None:
        """Send what is left to send."""
        if self.sent == self.job.requests or self.stopping:
            if len(self.latencies) == self.sent:
                self.done.set()
            return
        payload = next(self.payloads)
        if self.numbered:
            payload = payload.replace(NUMBER.encode(), b"%08d" % self.sent)
        self.sent += 1
        if not connection.ask(payload):
            self.lost(connection)

    # --- told by connections

    def first(self, connection: Connection) -> None:
        self.firsts.append((time.perf_counter() - connection.began) * 1000)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.job.announce and self.open == self.job.connections:
            print("open", flush=True)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        took = time.perf_counter() - connection.began
        self.latencies.append(took * 1000)
        self.answers.append((status, body))
        self.open -= bool(connection.mark and connection.marked)
        pause = self.job.interval_ms / 1000 - took
        if pause > 0:
            asyncio.get_running_loop().call_later(pause, self.next, connection)
        else:
            self.next(connection)

    def lost(self, connection: Connection) -> None:
        if connection.busy and not self.stopping:
            self.failures["connection lost"] += 1
            self.done.set()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    running: Running | None = None
    tasks: set[asyncio.Task[None]] = set()
    while line := await lines.readline():
        if line != b"stop\n":
            running = Running(msgspec.json.decode(line, type=Job))
            tasks = {asyncio.create_task(_tell(running))}
        elif running:
            running.stopping = True
    await asyncio.gather(*tasks)


async def _tell(running: Running) -> None:
    print(msgspec.json.encode(await running.run()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
