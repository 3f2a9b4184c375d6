"""What workers write, many jobs to a commit: claims and ends, each in one transaction, tried again while the database is away."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence

from pointsman.jobs import claiming, finishing
from pointsman.jobs.points import CLAIMING
from pointsman.jobs.rows import Claim, Claimed, Finish, Gone, Parked
from pointsman.jobs.service import wake
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_commit import GroupCommit

Settled = Callable[[Connection, Sequence[uuid.UUID]], Awaitable[Sequence[uuid.UUID]]]

MOST = 128
"""Jobs in one transaction."""


class JobWriter:
    """The group-commit writer of a worker process; `run_claiming` and `run_finishing` are its loops."""

    def __init__(self, db: Database, *, settled: Settled | None = None) -> None:
        """Make one; nothing is written until the loops run.

        `settled` tells which jobs wait for no decision: what they ask for may have been decided before they said that they wait.
        """
        self._settled = settled
        self._claiming: GroupCommit[Claim, Claimed | Parked | Gone] = GroupCommit(
            db, _claim, name="jobs.claim", key=lambda claim: claim.job_id, most=MOST, failpoint=lambda _: CLAIMING
        )
        self._finishing: GroupCommit[Finish, bool] = GroupCommit(
            db, self._finish, name="jobs.finish", key=lambda one: one.attempt.job_id, most=MOST, failpoint=finishing.failpoint_of
        )

    async def claim(self, claim: Claim) -> Claimed | Parked | Gone:
        """Begin an attempt, however long the database is away.

        Where a commit was lost on its way the attempt that it began is lost too, and another one begins: then nobody had it yet.
        """
        return await self._claiming.commit(claim)

    async def finish(self, finish: Finish) -> bool:
        """End an attempt, however long the database is away. False where it is no longer this worker's: nothing was written."""
        return await self._finishing.commit(finish)

    async def run_claiming(self) -> None:
        """Write claims until cancelled."""
        await self._claiming.run()

    async def run_finishing(self) -> None:
        """Write ends until cancelled."""
        await self._finishing.run()

    async def _finish(self, connection: Connection, finishes: Sequence[Finish]) -> list[bool]:
        async with connection.transaction():
            done = await finishing.finish(connection, finishes)
            asking = [one.attempt.job_id for one, was_done in zip(finishes, done, strict=True) if was_done and one.ending == "asks"]
            if asking and self._settled is not None:
                for job_id in await self._settled(connection, asking):
                    await wake(connection, job_id)
            return done


async def _claim(connection: Connection, claims: Sequence[Claim]) -> list[Claimed | Parked | Gone]:
    async with connection.transaction():
        return await claiming.claim(connection, claims)
