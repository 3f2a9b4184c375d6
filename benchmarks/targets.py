"""What is measured: the gateway, the floor and peers, each with how it is asked and whose processor time counts for it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.jobs import Shape
from benchmarks.processes import children, cpu_seconds, proportional_kb, resident_kb

_SYSTEM = "You are a benchmark."


class Cost(NamedTuple):
    """Processor seconds: of the server itself, of its database's processes."""

    server: float
    database: float

    def since(self, before: Cost) -> Cost:
        """What was spent between two readings."""
        return Cost(self.server - before.server, self.database - before.database)


@dataclass(frozen=True)
class Ask:
    """A chat: its length, its pace, markers for the fake upstream; the agent's name says which provider answers."""

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
    """A server under measurement that speaks the providers' own formats."""

    name: str
    ports: list[int]
    pids: list[int]
    key: str = "none"
    database_pid: int | None = None  # of the postmaster
    share: float = 1.0  # of a load's requests, for a server that would take too long over all of them

    def chat(self, ask: Ask) -> str:
        """A whole request for this chat."""
        if ask.agent == "claude":
            return self.request("POST", "/v1/messages", {"model": "fake", "max_tokens": 1000, "stream": ask.stream, **_messages(ask)})
        if ask.agent == "gemini":
            parts = {"contents": [{"role": "user", "parts": [{"text": ask.message}]}]}
            return self.request("POST", "/v1beta/models/fake:streamGenerateContent", parts)
        options = {"stream_options": {"include_usage": True}} if ask.stream else {}
        return self.request("POST", "/v1/chat/completions", {"model": "fake", "stream": ask.stream, **_messages(ask), **options})

    def shape(self, ask: Ask) -> Shape:
        """What answers it."""
        wires: dict[str, Shape] = {"claude": "anthropic", "gemini": "google"}
        return wires.get(ask.agent, "openai") if ask.stream else "json"

    def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> str:
        """A whole request, head and body."""
        content = json.dumps(body) if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key or self.key}\r\n"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(content.encode())}\r\n" if content else ""
        return f"{head}{kind}\r\n{content}"

    def cost(self) -> Cost:
        """Processor seconds so far."""
        database = 0.0
        if self.database_pid:
            database = sum(cpu_seconds(pid) for pid in (self.database_pid, *children(self.database_pid)))
        return Cost(sum(cpu_seconds(pid) for pid in self.pids), database)

    def settle(self, seconds: float = 40.0) -> None:
        """Wait until it does next to nothing, as what a start leaves for later is then done; `seconds` at most."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = self.cost()
            time.sleep(1)
            if self.cost().since(before).server < 0.02:
                return

    def resident_mb(self) -> float:
        return sum(resident_kb(pid) for pid in self.pids) / 1024

    def proportional_kb(self) -> int:
        return sum(proportional_kb(pid) for pid in self.pids)


@dataclass
class Gateway(Target):
    """Pointsman, asked with a key that has a limit and a budget."""

    admin_key: str = ""
    budget: str = ""  # id
    directory: Path = field(default_factory=Path)

    def chat(self, ask: Ask) -> str:
        return self.request("POST", f"/v2/agents/{ask.agent}/chat", {"message": ask.message, "stream": ask.stream})

    def shape(self, ask: Ask) -> Shape:
        return "events" if ask.stream else "json"


def _messages(ask: Ask) -> dict[str, Any]:
    if ask.agent == "claude":
        return {"system": _SYSTEM, "messages": [{"role": "user", "content": ask.message}]}
    return {"messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": ask.message}]}
