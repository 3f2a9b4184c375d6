"""What is measured: the gateway, the floor and peers, each with how it is asked and whose processor time counts for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.jobs import Shape
from benchmarks.processes import children, cpu_seconds, proportional_kb, resident_kb


class Cost(NamedTuple):
    """Processor seconds: of the server itself, of its database's processes."""

    server: float
    database: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.server - other.server, self.database - other.database)


@dataclass(frozen=True)
class Ask:
    """A chat: its length, its pace, and markers for the fake upstream."""

    tokens: int
    pause_ms: float = 0.0
    stream: bool = False
    agent: str = "bench"
    markers: str = ""

    @property
    def text(self) -> str:
        """What the answer says."""
        return "".join(f"tok{number} " for number in range(self.tokens))

    @property
    def message(self) -> str:
        return f"Say something [[n={self.tokens} itl={self.pause_ms:g} ttft=0]]{self.markers}"


@dataclass
class Target:
    """A server under measurement that speaks OpenAI's chat format."""

    name: str
    port: int
    pid: int
    key: str = "none"
    model: str = "fake"
    path: str = "/v1/chat/completions"
    shape: Shape = "chunks"
    database_pid: int | None = None  # of the postmaster
    notes: list[str] = field(default_factory=list[str])

    def chat(self, ask: Ask) -> str:
        """A whole request for this chat."""
        options = {"stream_options": {"include_usage": True}} if ask.stream else {}
        messages = [{"role": "system", "content": "You are a benchmark."}, {"role": "user", "content": ask.message}]
        return self.request("POST", self.path, {"model": self.model, "messages": messages, "stream": ask.stream, **options})

    def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> str:
        """A whole request, head and body."""
        content = json.dumps(body) if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {key or self.key}\r\n"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(content.encode())}\r\n" if content else ""
        return f"{head}{kind}\r\n{content}"

    def cost(self) -> Cost:
        """Processor seconds so far."""
        database = 0.0
        if self.database_pid:
            database = sum(cpu_seconds(pid) for pid in (self.database_pid, *children(self.database_pid)))
        return Cost(cpu_seconds(self.pid), database)

    def resident_mb(self) -> float:
        return resident_kb(self.pid) / 1024

    def proportional_kb(self) -> int:
        return proportional_kb(self.pid)


@dataclass
class Gateway(Target):
    """Pointsman, one process, asked with a limited key."""

    shape: Shape = "events"
    admin_key: str = ""
    directory: Path = Path()

    def chat(self, ask: Ask) -> str:
        return self.request("POST", f"/v2/agents/{ask.agent}/chat", {"message": ask.message, "stream": ask.stream})
