"""`Idempotency-Key`: the same request sent again gets the same answer for 24 hours, also concurrently and across replicas (G4)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import msgspec
import structlog
from starlette.types import Message, Scope, Send

from pointsman.kit import failpoints
from pointsman.kit.db import Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.problems import Kind, Problem, Unavailable
from pointsman.web import idempotency_queries as queries

ATTEMPT = "pointsman.idempotency"
KEPT = timedelta(hours=24)
_FREED = frozenset({401, 403, 429})
_KEPT_HEADERS = frozenset({b"content-type", b"location"})
_REPLAYED = (b"idempotency-replayed", b"true")
_QUOTED = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(rb"[!#-+\--~]+")  # visible ASCII without quotes and commas
_LONGEST_KEY = 255

_BEGINNING = failpoints.declare("idempotency.begin", "A request with an Idempotency-Key claims the key's record.")
_FINISHING = failpoints.declare("idempotency.finish", "The answer to a request with an Idempotency-Key is kept, or the key is freed.")

log = structlog.get_logger()


class IdempotencyKeyMalformed(Problem):
    """`Idempotency-Key` is 1 to 255 visible ASCII characters, in double quotes as the standard has it, or without.

    Make a new random value, such as a UUID, for each thing that is to happen once, and repeat it only when repeating that request.
    """

    kind = Kind.MALFORMED
    code = "idempotency-key-malformed"
    title = "The Idempotency-Key cannot be read"


class IdempotencyKeyReused(Problem):
    """This key has already been sent with another body or query to the same path, within the last 24 hours.

    A key stands for one request. Make a new one for another request.
    """

    kind = Kind.INVALID
    code = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"


class IdempotencyInProgress(Problem):
    """The first request with this key is still under way; nothing was done a second time.

    Send the same request again after the seconds in `Retry-After`: it gets the first one's answer.
    """

    kind = Kind.CONFLICT
    code = "idempotency-in-progress"
    title = "The same request is still under way"


class Sealer(Protocol):
    """The key ring, as far as it is needed here."""

    def encrypt(self, plaintext: bytes, identity: str) -> str: ...
    def decrypt(self, token: str, identity: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What a key is scoped to: the same text elsewhere is another key."""

    tenant_id: str
    key_id: int
    method: str
    path: str
    idempotency_key: str

    @property
    def columns(self) -> tuple[str, int, str, str, str]:
        """The primary key of its record."""
        return (self.tenant_id, self.key_id, self.method, self.path, self.idempotency_key)

    def __str__(self) -> str:
        """What the stored answer is bound to."""
        return "idempotency_keys/" + msgspec.json.encode(self.columns).decode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that may go on; a route finds it in `scope["pointsman.idempotency"]`.

    A run it starts must have `run_id`. With `taken_over` the process that tried first has died, and the run may exist already:
    then follow it. With `replay` the run exists and was streamed: stream it again from its first event.
    """

    run_id: str
    holder: str
    taken_over: bool = False
    replay: bool = False


class StoredAnswer(msgspec.Struct, frozen=True):
    """An answer as it is kept, encrypted."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def attempt_of(scope: Scope) -> Attempt | None:
    """The attempt, for a request that came with a key."""
    return scope.get(ATTEMPT)


def parse_key(value: bytes) -> str:
    """The key in the header. Raises IdempotencyKeyMalformed."""
    value = value.strip()
    quoted = _QUOTED.fullmatch(value)
    key = re.sub(rb"\\(.)", rb"\1", quoted[1]) if quoted else value if _BARE.fullmatch(value) else b""
    if not 0 < len(key) <= _LONGEST_KEY:
        raise IdempotencyKeyMalformed(hint='Send something like Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324".')
    return key.decode("ascii")


def fingerprint(query: bytes, body: bytes) -> bytes:
    """What must be the same for a request to be a repetition."""
    return hashlib.sha256(b"%d:%b%b" % (len(query), query, body)).digest()


class Idempotency:
    """Serves requests that carry a key, each under a lease by the database's clock, so that a crash never blocks a key."""

    def __init__(
        self, db: Database, ring: Sealer, *, lease: timedelta = timedelta(seconds=15), patience: timedelta = timedelta(seconds=10)
    ) -> None:
        self._db = db
        self._ring = ring
        self._lease = lease
        self._patience = patience

    async def serve(self, identity: Identity, body: bytes, run: Callable[[Attempt, Send], Awaitable[None]], send: Send) -> None:
        """Answer by `run`, or by what it answered before. `body` is the request's fingerprint.

        Raises IdempotencyKeyReused or IdempotencyInProgress.
        """
        begun = await self._begin(identity, body)
        if isinstance(begun, StoredAnswer):
            await _send_stored(begun, send)
        elif begun.replay:
            await run(begun, _marking(send))
        else:
            async with self._leased(identity, begun):
                recording = _Recording(self, identity, begun, send)
                await run(begun, recording.send)

    async def _begin(self, identity: Identity, body: bytes) -> Attempt | StoredAnswer:
        give_up = asyncio.get_running_loop().time() + self._patience.total_seconds()
        pause = 0.02
        while True:
            attempt = await self._claim(identity, body)
            if attempt is not None:
                return attempt
            record = await self._find(identity)
            # Gone or out of date: it can be claimed, whatever the body.
            while record is not None and not record["expired"]:
                _refuse_other(record, body)
                if record["status"] is not None:
                    return self._answer(identity, record)
                if record["orphaned"]:
                    break
                if asyncio.get_running_loop().time() > give_up:
                    raise IdempotencyInProgress(retry_after=2)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.25)
                record = await self._find(identity)

    async def _claim(self, identity: Identity, body: bytes) -> Attempt | None:
        """Take the record if it is new, out of date, or left behind by a process that died: of any number of copies one does."""
        holder, run_id = new_id("hold"), new_id("run")
        async with self._db.connection() as connection:
            values = (*identity.columns, body, run_id, holder, self._lease, KEPT)
            row = await failpoints.around((_BEGINNING,), connection, lambda: connection.fetchrow(queries.CLAIM, *values))
        if row is None:
            return None
        return Attempt(run_id=row["run_id"], holder=holder, taken_over=row["run_id"] != run_id)

    async def _find(self, identity: Identity) -> Record | None:
        async with self._db.connection() as connection:
            return await connection.fetchrow(queries.FIND, *identity.columns, KEPT)

    def _answer(self, identity: Identity, record: Record) -> Attempt | StoredAnswer:
        if record["answer"] is None:
            return Attempt(run_id=record["run_id"], holder="", replay=True)
        return msgspec.json.decode(self._ring.decrypt(record["answer"], str(identity)), type=StoredAnswer)

    @asynccontextmanager
    async def _leased(self, identity: Identity, attempt: Attempt) -> AsyncGenerator[None]:
        renewing = asyncio.create_task(self._renew(identity, attempt))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self, identity: Identity, attempt: Attempt) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._db.connection() as connection:
                    renewed = await connection.execute(queries.RENEW, *identity.columns, attempt.holder, self._lease)
                if renewed == "UPDATE 0":
                    return
            except Unavailable:
                log.warning("idempotency.lease_not_renewed", run_id=attempt.run_id)

    async def finish(self, identity: Identity, attempt: Attempt, status: int, answer: StoredAnswer | None, *, passes: bool = False) -> None:
        """Keep the answer, or free the key for an answer that is never kept; `passes` where the caller is told to come back."""
        free = passes or status in _FREED or status >= 500
        sealed = None if free or answer is None else self._ring.encrypt(msgspec.json.encode(answer), str(identity))
        statement = queries.FREE if free else queries.FINISH
        values = (*identity.columns, attempt.holder, *(() if free else (status, sealed)))
        for pause in (0.2, 0.5, 1, 2, 0):
            try:
                async with self._db.connection() as connection:
                    await failpoints.around((_FINISHING,), connection, lambda: connection.execute(statement, *values))
            except Unavailable:
                # What was done is done: the answer goes out even when it cannot be kept.
                log.warning("idempotency.answer_not_kept", run_id=attempt.run_id, retry=pause > 0)
                await asyncio.sleep(pause)
            else:
                return


class _Recording:
    """Holds an answer back until it is kept; an event stream is marked and let through, since it is replayed by its run."""

    def __init__(self, records: Idempotency, identity: Identity, attempt: Attempt, send: Send) -> None:
        self._records = records
        self._identity = identity
        self._attempt = attempt
        self._send = send
        self._start: Message = {}
        self._body: list[bytes] = []
        self._streams = False

    async def send(self, message: Message) -> None:
        if self._streams:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._began(message)
        else:
            self._body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._ended()

    async def _began(self, message: Message) -> None:
        # A route that failed after it had begun answers a second time: the first beginning has not left yet.
        self._start, self._body = message, []
        kind = dict(message.get("headers", ())).get(b"content-type", b"")
        self._streams = kind.startswith(b"text/event-stream")
        if self._streams:
            await self._records.finish(self._identity, self._attempt, message["status"], None)
            await self._send(message)

    async def _ended(self) -> None:
        status, body = self._start["status"], b"".join(self._body)
        kept = [(name.decode(), value.decode("latin-1")) for name, value in self._start["headers"] if name in _KEPT_HEADERS]
        # A busy session, say: kept for a day, "try again in a second" would be the only answer its caller ever gets.
        passes = any(name == b"retry-after" for name, _ in self._start["headers"])
        await self._records.finish(self._identity, self._attempt, status, StoredAnswer(status, kept, body), passes=passes)
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})


def _refuse_other(record: Record, body: bytes) -> None:
    if bytes(record["body_sha256"]) != body:
        raise IdempotencyKeyReused(hint="Make a new key for a new request.")


async def _send_stored(answer: StoredAnswer, send: Send) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.body:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, _REPLAYED]})
    await send({"type": "http.response.body", "body": answer.body})


def _marking(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _REPLAYED]}
        await send(message)

    return marked
