"""What a worker does when the queue says that a supervised run has something to do; brings each run to exactly one end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.chat.driving import defect
from pointsman.jobs.queue.port import Message
from pointsman.kit.db import Connection, Database, Record, unavailable_when_away
from pointsman.kit.problems import Problem, Unavailable
from pointsman.llm.errors import ModelProblem
from pointsman.llm.models import Models
from pointsman.runs.errors import RunInterrupted, RunTimedOut
from pointsman.settings import Settings
from pointsman.supervision import dispatching, queries
from pointsman.supervision.driving import Drive
from pointsman.supervision.leading import Leader, Recorded, read_recorded
from pointsman.supervision.patience import patiently
from pointsman.supervision.points import CLAIMING, RELEASING, STOPPING
from pointsman.supervision.recording import Recording
from pointsman.supervision.steps import Facts, Place, TakenOver, Writer

CancelJob = Callable[[Connection, uuid.UUID], Awaitable[object]]

_LOOK = 0.5
_BUSY = timedelta(seconds=1)

log = structlog.get_logger()


class Supervisor:
    """The supervised runs that this process has in hand."""

    def __init__(
        self,
        *,
        db: Database,
        models: Models,
        budgets: Budgets,
        settings: Settings,
        worker: str,
        dead_after: timedelta,
        cancel_job: CancelJob,
    ) -> None:
        """Make one for the process `worker`; `dead_after` is the silence by which the queue knows a handler's death.

        `cancel_job` ends one job, or has its worker end it, within the caller's transaction.
        """
        self._db = db
        self._models = models
        self._budgets = budgets
        self._settings = settings
        self._worker = worker
        self._dead_after = dead_after
        self._cancel_job = cancel_job

    async def handle(self, message: Message) -> timedelta | None:
        """Drive the run of the message to where it has to wait; when to come again, if another handler has it. Raises Unavailable."""
        run_id = message.id
        with unavailable_when_away():
            await CLAIMING.reach("before")
            async with self._db.transaction() as connection:
                row = await queries.claim(connection, run_id, self._worker, self._dead_after)
                await CLAIMING.reach("in")
                if row is None:
                    return None if await queries.has_ended(connection, run_id) else _BUSY
            await CLAIMING.reach("after")
        structlog.contextvars.bind_contextvars(run_id=run_id)
        self._budgets.adopt(run_id)
        try:
            await self._handle(row)
        finally:
            self._budgets.forget(run_id)
            await self._release(row)
        return None

    async def _handle(self, row: Record) -> None:
        recorded = await patiently(self._db, lambda connection: read_recorded(connection, row))
        config, leader = recorded.team.leader.config, recorded.team.leader.agent_id
        facts = Facts.of(row, leader)
        writer = Writer(self._db, facts, epoch=row["epoch"], step=row["step"], position=len(recorded.messages))
        place = Place(row["stage"], row["since"], row["round"])
        recording = Recording(facts, writer, place, recorded.messages, recorded.request.get("model", config.model))
        try:
            if row["asked_model"] is not None:
                await recording.note_cut_off(row["asked_model"], row["asked_tokens"], recorded.interrupted)
            await self._to_its_end(row, recorded, recording)
        except TakenOver:
            log.warning("run.lost_to_another_worker")
        finally:
            await recording.settled()
        if recording.outcome is not None:
            log.info("run.ended", status=recording.outcome)

    async def _to_its_end(self, row: Record, recorded: Recorded, recording: Recording) -> None:
        try:
            if row["claims"] > self._settings.runs.max_redrives:
                raise RunInterrupted(f"{row['claims'] - 1} workers that took the run up died of it.")
            cancelled = row["cancel_requested"]
            if not cancelled and not row["overdue"]:
                cancelled = await self._watched(recording, await self._drive(row, recorded, recording))
            if cancelled or row["overdue"]:
                await self._stop(recording, cancelled=cancelled)
        except Problem as problem:
            log.info("run.failed", code=problem.code, detail=problem.detail)
            await recording.fail(problem, problem.spent if isinstance(problem, ModelProblem) else None)
        except TakenOver:
            raise
        except Exception as error:  # noqa: BLE001 - what executes supervised runs: each reaches one end, and the log has the reason
            await recording.fail(defect(error))

    async def _drive(self, row: Record, recorded: Recorded, recording: Recording) -> Drive:
        facts = recording.facts
        leader = await Leader.of(recorded, self._models, max_steps=self._settings.runs.max_steps)
        payer = Payer(facts.tenant_id, facts.leader_id, facts.user_id, facts.key_id)
        models = self._budgets.around(self._models, payer, facts.run_id, epoch=row["epoch"])
        return Drive(self._db, leader, models, recording, self._settings.supervision)

    async def _watched(self, recording: Recording, drive: Drive) -> bool:
        """Drive until there is nothing to do but to wait; true where somebody wanted it cancelled meanwhile."""
        task = asyncio.create_task(self._driven(drive), name=recording.facts.run_id)
        wanted = False
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=_LOOK)
                if not task.done() and await self._is_wanted(recording.facts.run_id):
                    wanted = True
                    break
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        if task.cancelled():
            return wanted
        task.result()
        return False

    async def _driven(self, drive: Drive) -> None:
        limit = self._settings.runs.max_duration.total_seconds()
        try:
            async with asyncio.timeout(limit):
                await drive.go_on()
        except TimeoutError:
            raise RunTimedOut(f"The leader took longer than {limit:g} s.", hint="POINTSMAN_RUNS__MAX_DURATION sets the limit.") from None

    async def _is_wanted(self, run_id: str) -> bool:
        try:
            async with self._db.connection() as connection:
                return await queries.wants_to_stop(connection, run_id)
        except Unavailable:
            return False

    async def _stop(self, recording: Recording, *, cancelled: bool) -> None:
        """Cancel the jobs; the run ends when the last of them has, which its message tells."""
        await recording.settled()
        run = recording.facts.supervisor_run_id
        for job in await patiently(self._db, lambda connection: dispatching.list_jobs(connection, run)):
            if job.is_live and not job.cancel_requested:
                await patiently(self._db, lambda connection, id_=job.id: self._cancel_one(connection, id_))
        if any(job.is_live for job in await patiently(self._db, lambda connection: dispatching.list_jobs(connection, run))):
            return
        if cancelled:
            await recording.cancel()
        else:
            limit = self._settings.supervision.max_duration.total_seconds()
            raise RunTimedOut(f"The run took longer than {limit:g} s.", hint="POINTSMAN_SUPERVISION__MAX_DURATION sets the limit.")

    async def _cancel_one(self, connection: Connection, job_id: uuid.UUID) -> None:
        """In a transaction of its own: whoever ends a job locks it before its run."""
        await STOPPING.reach("before")
        async with connection.transaction():
            await self._cancel_job(connection, job_id)
            await STOPPING.reach("in")
        await STOPPING.reach("after")

    async def _release(self, row: Record) -> None:
        """Where that cannot be written the next handler finds nobody alive, and takes the run over."""
        await RELEASING.reach("before")
        with contextlib.suppress(Unavailable):
            async with self._db.connection() as connection:
                await queries.release(connection, row["id"], row["epoch"])
        await RELEASING.reach("after")
