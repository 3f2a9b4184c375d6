"""Supervised runs: the verbs of whoever asks for one, waits for it, reads it or cancels it; driving them is the workers' business."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import structlog

from pointsman.agents.resolve import Catalogue
from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.chat import planning
from pointsman.chat.facts import Outcome
from pointsman.chat.schemas import Accepted, ChatRequest
from pointsman.chat.waiting import outcome_of
from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.worker_config import DEFAULT_POOL
from pointsman.kit.db import Connection, Database, unavailable_when_away
from pointsman.kit.egress import Egress
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import NotFound, Unavailable
from pointsman.llm.models import Models
from pointsman.runs import events
from pointsman.runs import queries as run_queries
from pointsman.runs.errors import TooManyRuns
from pointsman.runs.events import encode, encode_json
from pointsman.runs.replay import Replay
from pointsman.sessions.errors import SessionBusy, SessionNotFound
from pointsman.settings import SupervisionSettings
from pointsman.supervision import queries
from pointsman.supervision.dispatching import supervisor_run_id
from pointsman.supervision.patience import AWAY_PAUSE
from pointsman.supervision.points import OPENING
from pointsman.supervision.queries import NewSupervisedRun
from pointsman.supervision.schemas import Supervisor
from pointsman.supervision.team import SupervisingTeam, Worker, snapshot_of
from pointsman.supervision.workspace import part
from pointsman.teams.crew import Crew

_SWEEP_SECONDS = 5.0
_AT_ONCE = 100
_PATIENCE = 3.0

log = structlog.get_logger()


class SupervisionService:
    """Supervised runs as their callers see them."""

    def __init__(
        self,
        db: Database,
        *,
        catalogue: Catalogue,
        models: Models,
        budgets: Budgets,
        egress: Egress,
        replay: Replay,
        settings: SupervisionSettings,
    ) -> None:
        self._db = db
        self._catalogue = catalogue
        self._models = models
        self._budgets = budgets
        self._egress = egress
        self._replay = replay
        self._settings = settings
        self._adrift: set[str] = set()

    async def start(self, principal: Principal, crew: Crew, request: ChatRequest, run_id: str | None = None) -> Accepted:
        """Accept a request to a supervising team: from here on it is never lost. Raises the Problem of whatever prevents it."""
        asked, workspace = part(request)
        team = await self._team_of(crew)
        prepared = await planning.prepare(asked, team.leader, self._models, self._egress)
        payer = Payer(principal.tenant_key, team.leader.agent_id, request.user_id, principal.key_id)
        await self._budgets.admit(payer, prepared.models)
        id_ = run_id or new_id("run")
        team_snapshot = snapshot_of(team)
        run = NewSupervisedRun(
            id=id_,
            supervisor_run_id=supervisor_run_id(id_),
            tenant_id=principal.tenant_key,
            team_id=team.team_id,
            leader_id=team.leader.agent_id,
            session_id=request.session_id or new_id("ses"),
            user_id=request.user_id,
            key_id=principal.key_id,
            request=planning.stored_request(asked).decode(),
            snapshot=team_snapshot.hash,
            verbosity=request.stream_verbosity,
            message=encode_json(prepared.message).decode(),
            said=request.message,
            model=prepared.models[0],
            lasts=self._settings.max_duration,
            workspace=workspace,
        )
        opened = await self._keep_opening(run, team_snapshot.data)
        return _accepted(id_, "pending") if opened else await self.require_accepted(id_)

    async def find_accepted(self, run_id: str) -> Accepted | None:
        """A run that exists already: for a request that is repeated."""
        async with self._db.connection() as connection:
            row = await run_queries.find_run(connection, run_id, None)
        return None if row is None else _accepted(run_id, row["status"])

    async def require_accepted(self, run_id: str) -> Accepted:
        """The same. Raises NotFound."""
        accepted = await self.find_accepted(run_id)
        if accepted is None:
            raise NotFound(f"No run {run_id!r}.")
        return accepted

    async def wait(self, run_id: str) -> Outcome:
        """How a run ended, whoever drives it."""
        return await outcome_of(self._db, self._replay, run_id)

    async def describe(self, connection: Connection, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What became of each of these runs that is a supervised one."""
        rows = await queries.describe(connection, run_ids)
        return {row["run_id"]: cast("dict[str, Any]", msgspec.to_builtins(Supervisor.of(row))) for row in rows}

    async def stop(self, connection: Connection, run_id: str) -> None:
        """Somebody wants the run cancelled, by the caller's transaction: a worker sees to it."""
        await enqueue(connection, [_message(run_id, priority=9)])

    async def sweep(self) -> None:
        """Look every few seconds for runs that are out of time, or that nobody was told about, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            with contextlib.suppress(Unavailable):
                await self.sweep_once()

    async def sweep_once(self) -> int:
        """How many runs had been neglected. Raises Unavailable."""
        async with self._db.transaction() as connection:
            for run_id in list(self._adrift):
                await run_queries.request_cancel(connection, run_id)
            neglected = await queries.list_neglected(connection, _AT_ONCE)
            await enqueue(connection, [_message(run_id, key=f"supervise:{run_id}") for run_id in neglected])
        self._adrift.clear()
        if neglected:
            log.info("supervision.woken", runs=len(neglected))
        return len(neglected)

    async def _keep_opening(self, run: NewSupervisedRun, team: bytes) -> bool:
        """Try for a moment while the database is away; who is told then that there is no run shall not have one."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self._open(run, team)
            except Unavailable:
                if time.monotonic() > deadline:
                    self._adrift.add(run.id)
                    raise
                await asyncio.sleep(AWAY_PAUSE)

    async def _open(self, run: NewSupervisedRun, team: bytes) -> bool:
        """False where the run is there already. Raises SessionNotFound, SessionBusy, TooManyRuns, Unavailable."""
        with unavailable_when_away():
            await OPENING.reach("before")
            async with self._db.transaction() as connection:
                await run_queries.store_snapshot(connection, run.snapshot, team)
                opened = await self._insert(connection, run)
                await OPENING.reach("in")
            await OPENING.reach("after")
        return opened

    async def _insert(self, connection: Connection, run: NewSupervisedRun) -> bool:
        if await queries.is_known(connection, run.id):
            return False
        most = self._settings.live_runs
        if await queries.count_live(connection, run.tenant_id, most) >= most:
            raise TooManyRuns(
                f"{most} supervised runs are under way already.", hint="Wait for some of them, or cancel them.", retry_after=5
            )
        if not await queries.touch_session(connection, run):
            raise SessionNotFound(f"No session {run.session_id!r} for this user.", hint="Give the user_id of the session's first turn.")
        if not await queries.insert_run(connection, run):
            if await queries.is_known(connection, run.id):
                return False
            raise SessionBusy("Another turn of this session is running.", hint="Wait for it, or use another session.", retry_after=1)
        started = encode(run.id, 1, events.RUN_STARTED, _started(run))
        await queries.insert_story(connection, run, started)
        await enqueue(connection, [_message(run.id)])
        return True

    async def _team_of(self, crew: Crew) -> SupervisingTeam:
        """As the run knows it, frozen. Raises AgentNotFound, AgentPromptMissing."""
        leader = await self._catalogue.resolve(crew.leader.agent_id)
        workers: list[Worker] = []
        for member in crew.members:
            agent = await self._catalogue.resolve(member.agent_id)
            workers.append(Worker(member.agent_id, member.name, member.description, member.role, agent.config.worker_config or {}))
        return SupervisingTeam(crew.team.id, crew.team.name, crew.team.description, leader, tuple(workers))


def _message(run_id: str, *, priority: int = 5, key: str | None = None) -> Message:
    return Message("supervise", run_id, DEFAULT_POOL, priority, key=key)


def _accepted(run_id: str, status: Any) -> Accepted:
    return Accepted(run_id, status, f"/v2/runs/{run_id}/events", str(supervisor_run_id(run_id)))


def _started(run: NewSupervisedRun) -> dict[str, Any]:
    return {
        "kind": "supervised",
        "team_id": run.team_id,
        "agent_id": run.leader_id,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "model": run.model,
        "stream_verbosity": run.verbosity,
        "supervisor_run_id": str(run.supervisor_run_id),
    }
