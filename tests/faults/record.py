"""The clients' record: what each call was told, and which faults were made when, one JSON line each, written as it happens.

The checker judges from this, the upstream's ledger and the database alone; so whatever a client saw must be in here, and nothing
else may be.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

FaultKind = Literal[
    "replica.killed",  # from the signal until a replacement answered
    "replica.terminated",  # from SIGTERM until the process ended; `status` is its exit status
    "database.away",  # from before the kill until the server accepted connections again
    "overload",  # more than the bounds was asked for on purpose: 429 and 503 are due
    "failpoint",  # a replica was started with this failpoint (`detail`); from its start until it died or was stopped
]


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """One event of a stream: its id, its name and its frame as it came."""

    id: int
    name: str
    raw: str


class Written(msgspec.Struct, frozen=True):
    """What a request was to store: a prompt (its template), an agent (its name) or a memory (its content); an id that we make is empty."""

    kind: Literal["prompt", "agent", "memory"]
    id: str
    text: str


class Call(msgspec.Struct, tag="call", kw_only=True, omit_defaults=True):
    """One HTTP exchange of one client.

    `op` says what was asked: `chat` (JSON), `stream` (SSE), `follow` (SSE of a run, from `after`), `replay` (the same in full, from
    the beginning, after everything) or a word of the program's own for any other request. `status` 0: there was no answer, `error`
    says why; an SSE that broke has its status and an `error`. Times are `time.time()`.
    """

    client: str
    op: str
    began: float
    ended: float = 0.0
    replica: str = ""
    key: str = ""  # name of the API key
    method: str = "POST"
    path: str = ""
    message: str = ""  # what the user said: links the call to its run and to the ledger
    session: str = ""
    idempotency_key: str = ""
    after: int | None = None
    expected: str | None = None  # the answer that the upstream was asked for, where it was asked for one
    faulty: bool = False  # the upstream was asked to fail: anything but a wrong answer is due
    leaves: bool = False  # the client left on purpose
    status: int = 0
    retry_after: bool = False
    is_problem: bool = False
    code: str = ""  # of the problem
    hour: str = ""  # the field `RateLimit`, of a key with an hourly limit
    error: str = ""  # of the transport
    run_id: str = ""
    run_status: str = ""
    text: str | None = None  # the acknowledged answer
    usage: dict[str, Any] | None = None
    digest: str = ""  # SHA-256 of the answer's body, of a request with an Idempotency-Key that got a whole one
    wrote: Written | None = None
    events: list[Seen] = []


class Fault(msgspec.Struct, tag="fault", kw_only=True, omit_defaults=True):
    """Something that was done to the system between two times."""

    kind: FaultKind
    began: float
    ended: float
    replica: str = ""
    detail: str = ""
    status: int | None = None


class Key(msgspec.Struct, tag="key", kw_only=True, omit_defaults=True):
    """An API key that the program made: its name in the record, its id and its hourly limit (0: none)."""

    name: str
    id: int
    rate_limit: int = 0


class Begun(msgspec.Struct, tag="begun", kw_only=True):
    """The first line: which program, with which seed and count, began when."""

    program: str
    seed: int
    count: int
    at: float


Line = Call | Fault | Key | Begun
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Record:
    """Appends lines to a file; each is flushed, so that a killed program leaves what it saw."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("wb")

    def write(self, line: Line) -> None:
        self._file.write(_encode(line) + b"\n")
        self._file.flush()

    def fault(self, kind: FaultKind, began: float, **more: Any) -> None:
        """Note a fault that ends now."""
        self.write(Fault(kind=kind, began=began, ended=time.time(), **more))

    def close(self) -> None:
        self._file.close()


def read_record(path: Path) -> list[Line]:
    """Every line of a record, in the order in which they were written."""
    return [_decode(line) for line in path.read_bytes().splitlines()]


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Any rows, a JSON line each."""
    with path.open("wb") as file:
        for row in rows:
            file.write(_encode(row) + b"\n")


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read them again; a file that is not there has none."""
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line)
