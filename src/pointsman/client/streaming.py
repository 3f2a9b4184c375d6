"""Following a run: events as they come, taken up by id when the connection or the replica behind it dies."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pointsman.client.errors import GatewayUnreachable, ProblemResponse, StreamLost
from pointsman.client.transport import Transport, raise_problem

if TYPE_CHECKING:
    import httpx

TERMINAL = frozenset({"run.completed", "run.failed", "run.cancelled"})
PATIENCE = timedelta(seconds=60)

_IDLE = 45.0  # three of the gateway's comments missed: the connection is dead though nobody said so
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_PASSING = {502, 503, 504}
_OK = 200


class Event(NamedTuple):
    """An event of a run: its number, its name, and its JSON object."""

    id: int
    name: str
    data: dict[str, Any]


class Transcript:
    """Puts a run's text together: deltas are joined, and what a `message.reset` takes back is dropped.

    What members of a team say among themselves and their leader is not the run's text.
    """

    def __init__(self) -> None:
        self._messages: dict[int, str] = {}

    def take(self, event: Event) -> str:
        """Take an event; the text that it adds."""
        if "member" in event.data:
            return ""
        number = event.data.get("message", 0)
        if event.name == "message.delta":
            self._messages[number] = self._messages.get(number, "") + event.data["text"]
            return str(event.data["text"])
        if event.name == "message.reset":
            self._messages.pop(number, None)
        return ""

    @property
    def text(self) -> str:
        """Everything said so far; a run of several messages has an empty line between them."""
        return "\n\n".join(self._messages[number] for number in sorted(self._messages))


class Follower:
    """Reads one run to its end over as many connections as that takes."""

    def __init__(self, transport: Transport, *, patience: timedelta, run_id: str | None = None, after: int = 0) -> None:
        self._transport = transport
        self._patience = patience.total_seconds()
        self._pause = _SHORTEST_PAUSE
        self._deadline = time.monotonic() + self._patience
        self._verbosity: str | None = None
        self.run_id = run_id
        self.last_id = after

    def begin(self, *path: str, body: Mapping[str, Any]) -> Iterator[Event]:
        """Start a run by a POST to the path and follow it. The key makes it safe to send again when no answer came: it is the same turn."""
        self._verbosity = body.get("stream_verbosity")
        headers = {"idempotency-key": str(uuid.uuid4()), "accept": "text/event-stream"}
        first = True
        while self.run_id is None:
            opened = self._transport.stream("POST", *path, body={**body, "stream": True}, headers=headers, idle=_IDLE)
            if (yield from self._read(opened, first=first)):
                return
            first = False
        yield from self.follow(self._verbosity)

    def follow(self, verbosity: str | None = None) -> Iterator[Event]:
        """Follow from `last_id` to the end."""
        assert self.run_id is not None
        while True:
            headers = {"accept": "text/event-stream", "last-event-id": str(self.last_id)}
            query = {"stream_verbosity": verbosity}
            opened = self._transport.stream("GET", "v2", "runs", self.run_id, "events", query=query, headers=headers, idle=_IDLE)
            if (yield from self._read(opened, first=False)):
                return

    def _read(self, opened: AbstractContextManager[httpx.Response], *, first: bool) -> Iterator[Event]:
        """The events of one connection; True when they were the last. A first connection that nobody takes is not tried again."""
        try:
            with opened as response:
                if response.status_code != _OK:
                    response.read()
                    raise_problem(response)
                self._learn(response)
                for event in parse(response.iter_lines()):
                    if event.id <= self.last_id:
                        continue
                    self.last_id, self._pause = event.id, _SHORTEST_PAUSE
                    self._deadline = time.monotonic() + self._patience
                    yield event
                    if event.name in TERMINAL:
                        return True
        except self._transport.broken as error:
            if first and _refused(error):
                raise self._transport.unreachable() from error
        except ProblemResponse as problem:
            if first or problem.status not in _PASSING:
                raise
        self._wait()
        return False

    def _learn(self, response: httpx.Response) -> None:
        location = response.headers.get("location", "")
        if self.run_id is None and location:
            self.run_id = location.rpartition("/")[2]

    def _wait(self) -> None:
        if time.monotonic() > self._deadline:
            if self.run_id is None:
                raise GatewayUnreachable("The gateway went away before it answered.", hint="Send the message again.")
            raise StreamLost(
                f"Nothing was heard of run {self.run_id} for {self._patience:.0f} s.",
                hint=f"It goes on without a reader: `pointsman runs events {self.run_id} --after {self.last_id}`.",
            )
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """The events in the lines of a stream; one that was cut off in the middle is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields and "id" in fields:
            yield Event(int(fields["id"]), fields.get("event", "message"), json.loads(fields["data"]))
        fields = {}


def _refused(error: Exception) -> bool:
    return type(error).__name__ in {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}
