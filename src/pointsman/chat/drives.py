"""The runs that this process drives: each is a task that brings it to exactly one end, whoever listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import structlog

from pointsman.budgets.metering import Budgets
from pointsman.chat.driving import Drive, TakenOver, defect
from pointsman.chat.opening import Openings
from pointsman.kit.db import AWAY, Database
from pointsman.kit.problems import Problem, Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.runs import queries as run_queries
from pointsman.runs.errors import RunTimedOut, TooManyRuns
from pointsman.runs.live import LiveRuns
from pointsman.settings import LimitSettings, RunSettings

log = structlog.get_logger()


class Drives:
    """Their tasks, by run."""

    def __init__(
        self,
        *,
        db: Database,
        live: LiveRuns,
        openings: Openings,
        budgets: Budgets,
        metrics: Metrics,
        replica: str,
        settings: RunSettings,
        limits: LimitSettings,
    ) -> None:
        self._db = db
        self._live = live
        self._openings = openings
        self._budgets = budgets
        self._metrics = metrics
        self._replica = replica
        self._settings = settings
        self._limits = limits
        self._drives: dict[str, Drive] = {}
        self._of_tenant: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def require_room(self, tenant: str) -> None:
        """Whether this process may drive one more run. Raises TooManyRuns."""
        most = self._limits.live_runs
        share = max(1, int(most * self._limits.tenant_share))
        if len(self._drives) >= most or self._of_tenant.get(tenant, 0) >= share:
            self._metrics.shed("runs")
            raise TooManyRuns(hint="Retry in a moment.", retry_after=1)

    def find(self, run_id: str) -> Drive | None:
        """The drive of a run that is driven here."""
        return self._drives.get(run_id)

    def spawn(self, drive: Drive, turn: Coroutine[Any, Any, None]) -> None:
        """Drive a run by its turn, which completes it or raises the Problem it fails with."""
        run_id = drive.facts.id
        self._live.add(drive.live)
        self._drives[run_id] = drive
        self._of_tenant[drive.facts.tenant_id] += 1
        task = asyncio.create_task(self._driven(drive, turn), name=run_id)
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._forget(drive))

    def cancel(self, run_id: str | None) -> None:
        """Stop a run that is driven here; called with what NOTIFY says."""
        drive = self._drives.get(run_id or "")
        if drive is not None and not drive.cancel_requested:
            drive.cancel_requested = True
            self._tasks[drive.facts.id].cancel()

    async def watch(self) -> None:
        """Look every second for cancel requests whose NOTIFY was lost, and let go of runs that are adrift, until cancelled."""
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(Unavailable):
                await self._openings.let_go()
                if self._drives:
                    await self._cancel_wanted()

    async def drain(self, patience: timedelta) -> None:
        """Let runs finish; those that do not in time are left for another replica, at once and from their last recorded step."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience.total_seconds())
        for task in (tasks := [task for task in tasks if not task.done()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(2), self._db.connection() as connection:
                await run_queries.leave(connection, self._replica)
        except (Unavailable, *AWAY):
            log.warning("drain.runs_not_handed_over")

    async def _cancel_wanted(self) -> None:
        async with self._db.connection() as connection:
            wanted = await run_queries.list_cancel_requests(connection, list(self._drives))
        for run_id in wanted:
            self.cancel(run_id)

    def _forget(self, drive: Drive) -> None:
        run_id = drive.facts.id
        if self._drives.get(run_id) is drive:
            del self._drives[run_id], self._tasks[run_id]
            self._budgets.forget(run_id)
        self._of_tenant[drive.facts.tenant_id] -= 1
        if not self._of_tenant[drive.facts.tenant_id]:
            del self._of_tenant[drive.facts.tenant_id]
        if not drive.live.ended:
            drive.abandon()
        self._live.remove(drive.live)

    async def _driven(self, drive: Drive, turn: Coroutine[Any, Any, None]) -> None:
        """Bring the run to exactly one end, unless this process is stopping or somebody else owns it."""
        structlog.contextvars.bind_contextvars(run_id=drive.facts.id)
        try:
            await self._end_of(drive, turn)
        except TakenOver:
            log.warning("run.lost_to_another_replica")
        except Exception:  # the end itself could not be written: whoever takes the run over tries again, a few times
            log.exception("run.not_ended")
            self._openings.set_adrift(drive.facts.id, epoch=drive.live.epoch, cancel=False)
        outcome = drive.done.result() if drive.done.done() else None
        if outcome is not None and outcome.status != "paused":
            self._metrics.run_finished(drive.facts.kind, outcome.status)

    async def _end_of(self, drive: Drive, turn: Coroutine[Any, Any, None]) -> None:
        try:
            await self._until_end(turn)
        except asyncio.CancelledError:
            if not drive.cancel_requested:
                raise
            await drive.cancel()
        except Problem as problem:
            log.info("run.failed", code=problem.code, detail=problem.detail)
            await drive.fail(problem)

    async def _until_end(self, turn: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(self._settings.max_duration.total_seconds()):
                await turn
        except TimeoutError:
            limit = self._settings.max_duration.total_seconds()
            raise RunTimedOut(f"The run took longer than {limit:g} s.", hint="POINTSMAN_RUNS__MAX_DURATION sets the limit.") from None
        except (Problem, TakenOver):
            raise
        except Exception as error:
            raise defect(error) from error
