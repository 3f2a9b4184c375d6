"""Jobs without workers: created, claimed and ended by the statements that workers use."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pointsman.jobs import claiming, finishing
from pointsman.jobs.creating import create_jobs
from pointsman.jobs.messages import number_of
from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.sending import read_message
from pointsman.jobs.rows import Claim, Claimed, Finish, Gone, NewJob, Parked
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal

SCOPES = frozenset({"jobs:read", "jobs:write"})


def principal(*, owner: str | None = None, tenant: str | None = None) -> Principal:
    return Principal(key_id=1, key_name="k", owner_id=owner, scopes=SCOPES, tenant=tenant or owner)


OPERATOR = principal()


def new_job(tenant: str = "", **fields: Any) -> NewJob:
    usual: dict[str, Any] = {"kind": "command:true", "job_spec": "{}", "timeout_seconds": 60, "max_attempts": 3, "most_memory_mb": 4096}
    return NewJob(tenant_id=tenant, prompt="Look around", **{**usual, **fields})


@dataclass
class Scene:
    """A database with the target `local` of so many slots, and what workers do to it."""

    db: Database
    owner: Connection
    slots: int | None = None
    cap_mb: int | None = 2048
    targets: set[str] = field(default_factory=set[str])

    async def target(self, target_id: str, pool: str = "linux_worker_pool") -> None:
        await self.owner.execute(
            "INSERT INTO execution_targets (id, name, type, worker_pool) VALUES ($1, $1, 'local', $2) ON CONFLICT DO NOTHING",
            target_id,
            pool,
        )

    async def create(self, count: int = 1, tenant: str = "", **fields: Any) -> list[uuid.UUID]:
        jobs = [new_job(tenant, **fields) for _ in range(count)]
        async with self.db.transaction() as connection:
            await create_jobs(connection, jobs)
        return [job.id for job in jobs]

    async def one(self, **fields: Any) -> uuid.UUID:
        return (await self.create(1, **fields))[0]

    def wish(self, job_id: uuid.UUID, *, target: str = "local", worker: str = "w1", **fields: Any) -> Claim:
        usual: dict[str, Any] = {"slots": self.slots, "cap_mb": self.cap_mb}
        return Claim(job_id, worker, "direct_ops", target, json.dumps({"id": target, "type": "local"}), **{**usual, **fields})

    async def claim(self, *job_ids: uuid.UUID, **fields: Any) -> list[Claimed | Parked | Gone]:
        async with self.db.transaction() as connection:
            return await claiming.claim(connection, [self.wish(job_id, **fields) for job_id in job_ids])

    async def begin(self, job_id: uuid.UUID, **fields: Any) -> Claimed:
        (claimed,) = await self.claim(job_id, **fields)
        assert isinstance(claimed, Claimed), claimed
        return claimed

    async def finish(self, *finishes: Finish) -> list[bool]:
        async with self.db.transaction() as connection:
            return await finishing.finish(connection, finishes)

    async def end(
        self,
        attempt: Claimed,
        ending: Literal["done", "failed", "ran_out", "broke", "asks", "handed_over", "circuit_open"] = "done",
        **fields: Any,
    ) -> bool:
        return (await self.finish(Finish(attempt, ending, **fields)))[0]

    async def begun(self, **fields: Any) -> Claimed:
        return await self.begin(await self.one(**fields))

    async def job(self, job_id: uuid.UUID) -> dict[str, Any]:
        row = await self.owner.fetchrow("SELECT * FROM execution_jobs j JOIN job_details d ON d.job_id = j.id WHERE j.id = $1", job_id)
        assert row is not None
        return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a record is its values

    async def attempts(self, job_id: uuid.UUID) -> list[str]:
        rows = await self.owner.fetch("SELECT status FROM job_attempts WHERE job_id = $1 ORDER BY epoch", job_id)
        return [row["status"] for row in rows]

    async def events(self, job_id: uuid.UUID) -> list[tuple[int, str, dict[str, Any]]]:
        rows = await self.owner.fetch("SELECT data::text AS data FROM job_events WHERE job_id = $1 ORDER BY seq", job_id)
        return [(seq, kind, data) for row in rows for seq, kind, data in json.loads(row["data"])]

    async def messages(self) -> list[Message]:
        """What the queue holds, in the order in which it would be taken."""
        rows = await self.owner.fetch(
            "SELECT entrypoint, payload, priority FROM queue.pgqueuer WHERE status = 'queued' ORDER BY priority DESC, id"
        )
        return [read_message(row["entrypoint"], row["payload"], row["priority"]) for row in rows]

    async def take(self) -> list[tuple[uuid.UUID, int]]:
        """Take all messages about jobs out of the queue: whose they are, and their number."""
        taken = await self.messages()
        await self.owner.execute("DELETE FROM queue.pgqueuer")
        return [(uuid.UUID(message.id), number_of(message) or 0) for message in taken if message.kind == "job"]


async def at_once(*works: Any) -> Sequence[Any]:
    return await asyncio.gather(*works)
