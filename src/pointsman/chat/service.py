"""Chat: opens runs, drives them as tasks of this process whoever listens, and takes over those of replicas that died."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import structlog

from pointsman.agents.resolve import Catalogue, ResolvedAgent
from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.chat import planning
from pointsman.chat.driving import Drive, TakenOver, defect
from pointsman.chat.facts import Outcome, RunFacts, Spent, facts_of
from pointsman.chat.journal import Journal
from pointsman.chat.opening import Openings
from pointsman.chat.planning import Prepared
from pointsman.chat.redriving import read_recorded
from pointsman.chat.schemas import ChatRequest
from pointsman.kit.db import AWAY, Connection, Database, Record
from pointsman.kit.egress import Egress
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import NotFound, Problem, Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.llm.models import Models
from pointsman.runs import queries as run_queries
from pointsman.runs.errors import RunInterrupted, RunTimedOut, TooManyRuns
from pointsman.runs.live import BLOCK, LiveRun, LiveRuns
from pointsman.runs.pace import Pace
from pointsman.runs.replay import Replay
from pointsman.sessions import memory
from pointsman.settings import LimitSettings, RunSettings
from pointsman.tools.builtin import Builtins
from pointsman.turns.loop import run_turn
from pointsman.turns.plan import TurnState

log = structlog.get_logger()

T = TypeVar("T")

_AWAY_PAUSE = 0.2


class ChatService:
    """The turns of this process."""

    def __init__(
        self,
        *,
        db: Database,
        catalogue: Catalogue,
        models: Models,
        budgets: Budgets,
        egress: Egress,
        live: LiveRuns,
        journal: Journal,
        replay: Replay,
        metrics: Metrics,
        replica: str,
        settings: RunSettings,
        limits: LimitSettings,
    ) -> None:
        self._db = db
        self._catalogue = catalogue
        self._models = models
        self._budgets = budgets
        self._egress = egress
        self._live = live
        self._pace = Pace(live)
        self._journal = journal
        self._openings = Openings(db, journal, replica)
        self._replay = replay
        self._metrics = metrics
        self._replica = replica
        self._settings = settings
        self._limits = limits
        self._drives: dict[str, Drive] = {}
        self._of_tenant: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, principal: Principal, agent_id: str, request: ChatRequest, run_id: str | None = None) -> RunFacts:
        """Open a run and drive it. Raises the Problem of whatever prevents it; then there is no run."""
        self._require_room(principal.tenant_key)
        agent = await self._catalogue.resolve(agent_id)
        prepared = await planning.prepare(request, agent, self._models, self._egress)
        facts = RunFacts(
            id=run_id or new_id("run"),
            tenant_id=principal.tenant_key,
            agent_id=agent_id,
            session_id=request.session_id or new_id("ses"),
            user_id=request.user_id,
            key_id=principal.key_id,
            model=prepared.models[0],
        )
        await self._budgets.admit(_payer(facts), prepared.models)
        live = await self._openings.open(facts, request, prepared)
        if live is None:
            return await self.find_facts(facts.id) or facts
        drive = Drive(facts, live, self._pace, self._journal, self._metrics, state=TurnState([prepared.message]), spent=Spent(), position=1)
        self._spawn(drive, self._turn(drive, prepared, new_session=request.session_id is None))
        return facts

    def _require_room(self, tenant: str) -> None:
        most = self._limits.live_runs
        share = max(1, int(most * self._limits.tenant_share))
        if len(self._drives) >= most or self._of_tenant.get(tenant, 0) >= share:
            self._metrics.shed("runs")
            raise TooManyRuns(hint="Retry in a moment.", retry_after=1)

    async def wait(self, run_id: str) -> Outcome:
        """How a run ended, whichever replica drives it."""
        drive = self._drives.get(run_id)
        if drive is not None:
            outcome = await asyncio.shield(drive.done)
            if outcome is not None:
                return outcome
        async for _ in self._replay.follow(run_id):
            pass
        async with self._db.connection() as connection:
            row = await run_queries.find_run(connection, run_id, None)
        if row is None:
            raise NotFound(f"No run {run_id!r}.")
        error = run_queries.parse(row["error"])
        return Outcome(row["status"], (row["result"] or "null").encode(), Problem.recall(error) if error else None)

    async def find_facts(self, run_id: str) -> RunFacts | None:
        """A run that exists already: for a request that is repeated."""
        async with self._db.connection() as connection:
            row = await run_queries.find_run(connection, run_id, None)
        return None if row is None else facts_of(row)

    def redrive(self, row: Record) -> None:
        """Go on with a run that was taken over, from its last recorded step."""
        self._budgets.adopt(row["id"])
        self._metrics.run_redriven()
        live = LiveRun(row["id"], epoch=row["epoch"], next_seq=row["reserved_seq"] - BLOCK + 1, reserved=row["reserved_seq"])
        drive = Drive(facts_of(row), live, self._pace, self._journal, self._metrics, state=TurnState(), spent=Spent(), position=0)
        self._spawn(drive, self._resumed(drive, row))

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

    async def _cancel_wanted(self) -> None:
        async with self._db.connection() as connection:
            wanted = await run_queries.list_cancel_requests(connection, list(self._drives))
        for run_id in wanted:
            self.cancel(run_id)

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

    def _spawn(self, drive: Drive, turn: Coroutine[Any, Any, None]) -> None:
        run_id = drive.facts.id
        self._live.add(drive.live)
        self._drives[run_id] = drive
        self._of_tenant[drive.facts.tenant_id] += 1
        task = asyncio.create_task(self._driven(drive, turn), name=run_id)
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._forget(drive))

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
        if outcome is not None:
            self._metrics.run_finished("chat", outcome.status)

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

    async def _turn(self, drive: Drive, prepared: Prepared, *, new_session: bool) -> None:
        facts = drive.facts

        async def read(connection: Connection) -> planning.Past:
            return await planning.read_past(
                connection,
                prepared.agent,
                tenant=facts.tenant_id,
                session_id=facts.session_id,
                user_id=facts.user_id,
                run_id=facts.id,
                new_session=new_session,
            )

        known = planning.has_past(prepared.agent, user_id=facts.user_id, new_session=new_session)
        past = await self._patiently(read) if known else planning.Past()
        plan = planning.plan_turn(
            prepared, past, reasons=await self._models.reasoning(prepared.models[0]), max_steps=self._settings.max_steps
        )
        models = self._budgets.around(self._models, _payer(facts), facts.id, epoch=drive.live.epoch)
        result = await run_turn(plan, drive.state, models, self._tools(facts, prepared.agent), drive)
        await drive.complete(result)

    async def _resumed(self, drive: Drive, row: Record) -> None:
        """Rebuild the turn from its rows and go on."""
        recorded = await self._patiently(lambda connection: read_recorded(connection, row))
        prepared = planning.reprepare(msgspec.json.decode(row["request"]), recorded.agent, recorded.asked)
        drive.cancel_requested = bool(row["cancel_requested"])
        end_instead: Problem | asyncio.CancelledError | None = None
        if drive.cancel_requested:
            end_instead = asyncio.CancelledError()
        elif row["epoch"] > self._settings.max_redrives:
            end_instead = RunInterrupted(f"The run was taken over {row['epoch'] - 1} times.")
        asked = row["epoch"] > 1 and not await self._budgets.was_never_asked(_payer(drive.facts), row["id"])
        interrupted = recorded.interrupted if asked else None
        drive.resume(recorded.messages, recorded.spent, prepared.models[0], interrupted=interrupted, end_instead=end_instead)
        await self._turn(drive, prepared, new_session=False)

    async def _patiently(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        """Read what an open run needs: while the database is away it waits, as its writes do."""
        while True:
            try:
                async with self._db.connection() as connection:
                    return await read(connection)
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)

    def _tools(self, facts: RunFacts, agent: ResolvedAgent) -> Builtins:
        names, timezone = planning.tool_names(agent, facts.user_id)
        book = None
        if facts.user_id is not None:
            book = memory.MemoryBook(self._db, memory.Scope(facts.tenant_id, facts.user_id, facts.agent_id), facts.id)
        return Builtins(names, timezone=timezone, book=book)


def _payer(facts: RunFacts) -> Payer:
    return Payer(facts.tenant_id, facts.agent_id, facts.user_id, facts.key_id)
