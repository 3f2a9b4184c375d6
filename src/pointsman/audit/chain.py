"""The hash chain through the audit log: sealing what was committed, and finding out whether it was tampered with.

Entries are sealed in the order in which they become visible, under a number of the chain's own. Their ids would be the wrong order:
a transaction takes its id early and may commit late, so an entry with a smaller id can appear after larger ones were sealed.
Holding everything back until no older transaction runs would keep id order, but then one forgotten transaction stops all sealing.
So a late entry simply gets the next number. Within one round ids decide. The chain proves what was there when, not who committed first.

What it cannot show by itself: entries taken away before they were sealed (a second, normally), and a history rewritten from some point
to the end, head included, by who owns the database. Against the latter keep a head elsewhere and pass it to `verify`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from pointsman.audit import queries
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.problems import Unavailable

ORIGIN = "0" * 64

_BATCH = 500
_MOST_FAULTS = 20


class Head(NamedTuple):
    """A point of the chain: its number and hash; kept elsewhere it proves later that nothing up to here was rewritten."""

    seal_seq: int
    hash: str


class Fault(NamedTuple):
    """Something that does not fit: at which number, and what."""

    seal_seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a check: `sealed` entries were read, `unsealed` wait for the next round, and no faults means a sound chain."""

    sealed: int
    unsealed: int
    head: Head
    faults: tuple[Fault, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was changed, removed, inserted or moved."""
        return not self.faults


class Sealer:
    """The maintenance loop that seals; every process may run one, one at a time does the work."""

    def __init__(self, db: Database, *, interval: timedelta = timedelta(seconds=1), batch: int = _BATCH) -> None:
        """Look for new entries every `interval`, seal at most `batch` in one transaction."""
        self._db = db
        self._interval = interval.total_seconds()
        self._batch = batch

    async def run_once(self) -> int:
        """Seal one batch; the number of sealed entries, 0 also when another process is at it."""
        async with self._db.transaction() as connection:
            if not await queries.try_sealer_lock(connection):
                return 0
            # Only after the lock: whoever held it before has committed, and this statement sees its head.
            head = _head(await queries.find_head(connection))
            rows = await queries.list_unsealed(connection, self._batch)
            if rows:
                await queries.write_seals(connection, _seals(head, rows))
            return len(rows)

    async def run(self, stop: asyncio.Event) -> None:
        """Seal until `stop` is set; a database that is away is waited for."""
        while not stop.is_set():
            if await self._sealed() < self._batch:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._interval)

    async def _sealed(self) -> int:
        try:
            return await self.run_once()
        except Unavailable:
            return 0


async def verify(db: Database, known: Head | None = None) -> Verdict:
    """Recompute the whole chain from one snapshot, and compare it with the head that is stored and the one that is known."""
    async with db.transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        stored = await queries.find_head(connection)
        unsealed = await queries.count_unsealed(connection)
        return await _verdict(connection, None if stored is None else _head(stored), known, unsealed)


async def _verdict(connection: Connection, stored: Head | None, known: Head | None, unsealed: int) -> Verdict:
    last, sealed = Head(0, ORIGIN), 0
    faults: list[Fault] = []
    seen_known = known is None or known == last
    async for row in _links(connection):
        faults += _link_faults(last, row)
        last, sealed = _head(row), sealed + 1
        seen_known = seen_known or last == known
        await asyncio.sleep(0)
    if stored != last and (stored is not None or sealed):
        faults.append(Fault(last.seal_seq, _end_fault(stored, last)))
    if known is not None and not seen_known:
        faults.append(Fault(known.seal_seq, "the entry of the known head is not there or is another one"))
    return Verdict(sealed, unsealed, last, tuple(faults[:_MOST_FAULTS]))


async def _links(connection: Connection) -> AsyncGenerator[Record]:
    after = -(2**63)
    while rows := await queries.list_sealed(connection, after, _BATCH):
        for row in rows:
            yield row
        after = rows[-1]["seal_seq"]


def _link_faults(last: Head, row: Record) -> list[Fault]:
    number, faults = int(row["seal_seq"]), list[Fault]()
    if number != last.seal_seq + 1:
        faults.append(Fault(number, f"the entries between {last.seal_seq} and {number} are missing"))
    if row["prev_hash"] != last.hash:
        faults.append(Fault(number, "it does not follow the entry before it"))
    if row["hash"] != _hash(row, number, str(row["prev_hash"])):
        faults.append(Fault(number, "it was changed after it was sealed"))
    return faults


def _end_fault(stored: Head | None, last: Head) -> str:
    if stored is None:
        return "the record of the chain's head is missing"
    if stored.seal_seq > last.seal_seq:
        return f"the entries after it, up to {stored.seal_seq}, are missing"
    return f"the chain's head was recorded as {stored.seal_seq} with another hash"


def _seals(head: Head, rows: list[Record]) -> list[tuple[int, int, str, str]]:
    seals: list[tuple[int, int, str, str]] = []
    for row in rows:
        number = head.seal_seq + 1
        digest = _hash(row, number, head.hash)
        seals.append((row["id"], number, head.hash, digest))
        head = Head(number, digest)
    return seals


def _head(row: Record | None) -> Head:
    return Head(0, ORIGIN) if row is None else Head(int(row["seal_seq"]), str(row["hash"]))


def _hash(row: Record, seal_seq: int, prev_hash: str) -> str:
    """SHA-256 over canonical JSON of all that an entry says, its place in the chain, and the link before it."""
    content = {
        "seal_seq": seal_seq,
        "prev_hash": prev_hash,
        "id": row["id"],
        "at": row["at"].isoformat(),
        "tenant_id": row["tenant_id"],
        "actor_key_id": row["actor_key_id"],
        "actor": row["actor"],
        "action": row["action"],
        "object_type": row["object_type"],
        "object_id": row["object_id"],
        "detail": json.loads(row["detail"]),
        "request_id": row["request_id"],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
