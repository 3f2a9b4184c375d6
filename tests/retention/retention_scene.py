"""A past: turns that were taken by the journal, moved back in time by the owner; and sweepers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.sessions.session_scene import Talk

from pointsman.kit.db import Connection, Database
from pointsman.retention.kinds import Batch, batches
from pointsman.retention.sweeping import Sweeper
from pointsman.settings import RetentionSettings


@dataclass
class Past:
    """Writes turns that ended some days ago."""

    talk: Talk
    owner: Connection

    async def turn(self, session: str, *, days: float, **fields: Any) -> str:
        run_id = await self.talk.turn(session, **fields)
        await self.age(run_id, days)
        return run_id

    async def age(self, run_id: str, days: float) -> None:
        """As if the run had come and gone that much earlier; its session was touched by it last."""
        for statement in (
            "UPDATE runs SET created_at = created_at - $2::interval, completed_at = completed_at - $2 WHERE id = $1",
            "UPDATE sessions s SET updated_at = now() - $2::interval FROM runs r WHERE r.id = $1 AND s.id = r.session_id",
            "UPDATE token_usage SET created_at = now() - $2::interval WHERE id IN (SELECT usage_id FROM usage_details WHERE run_id = $1)",
        ):
            await self.owner.execute(statement, run_id, timedelta(days=days))

    async def add_events(self, run_id: str, rows: int) -> None:
        await self.owner.execute(
            "INSERT INTO run_events (run_id, seq, last_seq, data) SELECT $1, n, n, '[]' FROM generate_series(100, 99 + $2::int) n",
            run_id,
            rows,
        )

    async def count(self, table: str) -> int:
        return await self.owner.fetchval(f"SELECT count(*) FROM {table}")


@dataclass
class Sweeping:
    """A replica's sweeper, and what it said it has deleted."""

    db: Database
    settings: RetentionSettings = field(default_factory=RetentionSettings)
    batch: int = 500
    deleted: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    kinds: dict[str, Batch] | None = None

    def __post_init__(self) -> None:
        kinds = batches(self.settings) if self.kinds is None else self.kinds
        self.sweeper = Sweeper(self.db, kinds, deleted=lambda kind, rows: self.deleted.append((kind, rows)), batch=self.batch)

    async def lap(self, owner: Connection) -> dict[str, int]:
        """Batches until every kind was swept to its end, without the rests between them; rows deleted by kind."""
        before = len(self.deleted)
        while await self.sweeper.run_once() is not None or await hurry(owner):
            pass
        sums: dict[str, int] = {}
        for kind, rows in self.deleted[before:]:
            sums[kind] = sums.get(kind, 0) + rows
        return sums


async def hurry(owner: Connection) -> bool:
    """Whether a batch was only resting; it is due now. A kind at its end rests for minutes."""
    resting = "UPDATE retention_marks SET due_at = now() WHERE due_at > now() AND due_at < now() + interval '1 minute' RETURNING 1"
    return bool(await owner.fetch(resting))


async def next_lap(owner: Connection) -> None:
    """As if the minutes between two laps had passed."""
    await owner.execute("UPDATE retention_marks SET due_at = now()")
