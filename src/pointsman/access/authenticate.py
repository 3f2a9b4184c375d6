"""From a presented key to who it is: quick, never longer than a second behind a revocation, and silent about why not."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import msgspec
import structlog

from pointsman.access.errors import KeyExpired, Unauthenticated
from pointsman.access.keys import digest, is_well_formed
from pointsman.access.queries import AUTHENTICATE, TOUCH
from pointsman.kit.db import Database, Record
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Unavailable

_REMEMBER_SECONDS = 0.8
_MOST_REMEMBERED = 10_000
_ANSWER_WITHIN_SECONDS = 5
_FLUSH_INTERVAL = timedelta(seconds=30)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """A key that works right now; keys of one family, each rotated from another, share their hourly limit."""

    id: int
    name: str
    owner_id: str | None
    scopes: frozenset[str]
    rate_limit: int
    family_id: int
    expires_at: dt.datetime | None


class _Remembered(NamedTuple):
    key: AuthenticatedKey
    until: float


class Authenticator:
    """Tells who presents a key. Keep `run` going beside it, and call `flush` once more when the process stops."""

    def __init__(self, db: Database, listener: Listener | None) -> None:
        self._db = db
        self._remembered: dict[str, _Remembered] = {}
        self._looking_up: dict[str, asyncio.Task[AuthenticatedKey]] = {}
        self._changes = 0
        self._used_at: dict[int, float] = {}
        if listener is not None:
            listener.subscribe("keys", self._forget)

    async def authenticate(self, presented: str) -> AuthenticatedKey:
        """The key, and a note that it was used. Raises Unauthenticated, KeyExpired or Unavailable."""
        if not is_well_formed(presented):
            raise _refused()
        key = await self._find(digest(presented))
        self._used_at[key.id] = time.monotonic()
        return key

    async def run(self) -> None:
        """Store when keys were last used, every half minute, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL.total_seconds())
            try:
                await self.flush()
            except Unavailable:
                log.warning("keys.last_used_at.delayed", keys=len(self._used_at))

    async def flush(self) -> None:
        """Store in one statement when each key was last used; what could not be stored is kept for the next time."""
        used_at, self._used_at = self._used_at, {}
        if not used_at:
            return
        stored = False
        try:
            await self._store(used_at)
            stored = True
        finally:
            if not stored:
                self._used_at = used_at | self._used_at

    async def _store(self, used_at: Mapping[int, float]) -> None:
        # Ages instead of times: the database's clock is the one that replicas share.
        now = time.monotonic()
        ages = [now - at for at in used_at.values()]
        async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            await connection.execute(TOUCH, list(used_at), ages)

    async def _find(self, key_hash: str) -> AuthenticatedKey:
        remembered = self._remembered.get(key_hash)
        if remembered is not None and remembered.until > time.monotonic():
            return remembered.key
        task = self._looking_up.get(key_hash)
        if task is None:
            task = self._looking_up[key_hash] = asyncio.create_task(self._look_up(key_hash))
            task.add_done_callback(lambda done: self._looked_up(key_hash, done))
        # Shielded: a client that leaves must not fail the others that wait for the same answer.
        return await asyncio.shield(task)

    async def _look_up(self, key_hash: str) -> AuthenticatedKey:
        # Both are read before the query: a revocation that commits while it is under way must not be outlived by its answer.
        asked_at, changes = time.monotonic(), self._changes
        async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            row = await connection.fetchrow(AUTHENTICATE, key_hash)
        if row is None or not row["is_active"]:
            raise _refused()
        if row["expires_in"] is not None and row["expires_in"] <= 0:
            raise KeyExpired("This key has expired.", hint="Use the key that replaced it, or have a new one made.")
        key = _shape(row)
        if changes == self._changes:
            self._remember(key_hash, _Remembered(key, asked_at + min(_REMEMBER_SECONDS, row["expires_in"] or _REMEMBER_SECONDS)))
        return key

    def _remember(self, key_hash: str, remembered: _Remembered) -> None:
        self._remembered.pop(key_hash, None)
        # All live equally long, so the first inserted is the first to be stale.
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key_hash] = remembered

    def _looked_up(self, key_hash: str, task: asyncio.Task[AuthenticatedKey]) -> None:
        if self._looking_up.get(key_hash) is task:
            del self._looking_up[key_hash]

    def _forget(self, key_id: str | None) -> None:
        """A key changed, or hints were missed: nothing that was read or asked before counts any more."""
        self._changes += 1
        self._looking_up.clear()
        if key_id is None:
            self._remembered.clear()
            return
        stale = [key_hash for key_hash, remembered in self._remembered.items() if str(remembered.key.id) == key_id]
        for key_hash in stale:
            del self._remembered[key_hash]


def _refused() -> Unauthenticated:
    return Unauthenticated("The API key is not valid.", hint="Check that the key is complete, and that nobody has revoked it.")


def _shape(row: Record) -> AuthenticatedKey:
    return AuthenticatedKey(
        id=row["id"],
        name=row["name"],
        owner_id=row["owner_id"],
        scopes=frozenset(msgspec.json.decode(row["scopes"], type=list[str])),
        rate_limit=row["rate_limit"],
        family_id=row["family_id"],
        expires_at=row["expires_at"],
    )
