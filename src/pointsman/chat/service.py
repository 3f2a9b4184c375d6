"""Chat: opens runs and sets them going, tells how they ended, and takes over those of replicas that died."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from pointsman.agents.resolve import Catalogue
from pointsman.budgets.metering import Budgets
from pointsman.chat import planning
from pointsman.chat.drives import Drives
from pointsman.chat.driving import Drive
from pointsman.chat.facts import Outcome, RunFacts, Spent, facts_of
from pointsman.chat.journal import Journal
from pointsman.chat.members import Members
from pointsman.chat.opening import Openings
from pointsman.chat.paying import payer_of
from pointsman.chat.planning import Prepared
from pointsman.chat.schemas import ChatRequest
from pointsman.chat.turning import Turns
from pointsman.chat.waiting import outcome_of
from pointsman.kit.db import Database, Record
from pointsman.kit.egress import Egress
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.telemetry import Metrics
from pointsman.knowledge.searching import Searcher
from pointsman.llm.models import Models
from pointsman.runs import queries as run_queries
from pointsman.runs.live import BLOCK, LiveRun, LiveRuns
from pointsman.runs.pace import Pace
from pointsman.runs.replay import Replay
from pointsman.settings import LimitSettings, RunSettings
from pointsman.skills.tools import Shelf
from pointsman.teams.crew import Crew
from pointsman.teams.resolve import resolve
from pointsman.tools.fetching import Web
from pointsman.tools.sources import ToolSource
from pointsman.turns.plan import TurnState


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
        shelf: Shelf,
        web: Web,
        sources: Mapping[str, ToolSource],
        searcher: Searcher,
        live: LiveRuns,
        journal: Journal,
        replay: Replay,
        metrics: Metrics,
        replica: str,
        settings: RunSettings,
        limits: LimitSettings,
        approval_ttl: timedelta,
    ) -> None:
        self._db = db
        self._catalogue = catalogue
        self._models = models
        self._budgets = budgets
        self._egress = egress
        self._pace = Pace(live)
        self._journal = journal
        self._replay = replay
        self._metrics = metrics
        self._openings = Openings(db, journal, replica)
        self._members = Members(db=db, models=models, budgets=budgets, egress=egress, openings=self._openings, replay=replay)
        self._turns = Turns(db, models, budgets, shelf, web, sources, searcher, self._members, self._begin, settings, approval_ttl)
        self._drives = Drives(
            db=db,
            live=live,
            openings=self._openings,
            budgets=budgets,
            metrics=metrics,
            replica=replica,
            settings=settings,
            limits=limits,
        )

    async def start(self, principal: Principal, agent_id: str, request: ChatRequest, run_id: str | None = None) -> RunFacts:
        """Open a run and drive it. Raises the Problem of whatever prevents it; then there is no run."""
        self._drives.require_room(principal.tenant_key)
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
        return await self._open(facts, request, prepared)

    async def start_team(self, principal: Principal, crew: Crew, request: ChatRequest, run_id: str | None = None) -> RunFacts:
        """The same for a coordinating team: its leader's turn, in which members are tools."""
        self._drives.require_room(principal.tenant_key)
        team = await resolve(crew, self._catalogue)
        prepared = await planning.prepare_team(request, team, self._models, self._egress)
        facts = RunFacts(
            id=run_id or new_id("run"),
            tenant_id=principal.tenant_key,
            agent_id=team.leader.agent_id,
            session_id=request.session_id or new_id("ses"),
            user_id=request.user_id,
            key_id=principal.key_id,
            model=prepared.models[0],
            team_id=team.team_id,
        )
        return await self._open(facts, request, prepared)

    async def wait(self, run_id: str) -> Outcome:
        """How a run ended, or what it is paused with, whichever replica drives it."""
        drive = self._drives.find(run_id)
        if drive is not None:
            outcome = await asyncio.shield(drive.done)
            if outcome is not None:
                return outcome
        return await outcome_of(self._db, self._replay, run_id)

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
        drive = self._drive(facts_of(row), live, TurnState(), position=0)
        self._drives.spawn(drive, self._turns.go_on(drive, row))

    def cancel(self, run_id: str | None) -> None:
        """Stop a run that is driven here; called with what NOTIFY says."""
        self._drives.cancel(run_id)

    async def watch(self) -> None:
        """Look every second for cancel requests whose NOTIFY was lost, and let go of runs that are adrift, until cancelled."""
        await self._drives.watch()

    async def drain(self, patience: timedelta) -> None:
        """Let runs finish; those that do not in time are left for another replica, at once and from their last recorded step."""
        await self._drives.drain(patience)

    async def _open(self, facts: RunFacts, request: ChatRequest, prepared: Prepared) -> RunFacts:
        await self._budgets.admit(payer_of(facts), prepared.models)
        live = await self._openings.open(facts, request, prepared)
        if live is None:
            return await self.find_facts(facts.id) or facts
        self._begin(facts, live, prepared, new_session=request.session_id is None)
        return facts

    def _begin(self, facts: RunFacts, live: LiveRun, prepared: Prepared, *, new_session: bool = False) -> None:
        """Drive a run that was opened here. Members' runs are not asked for room: their team's run, which has it, waits for them."""
        drive = self._drive(facts, live, TurnState([prepared.message]), position=1)
        self._drives.spawn(drive, self._turns.take(drive, prepared, new_session=new_session))

    def _drive(self, facts: RunFacts, live: LiveRun, state: TurnState, *, position: int) -> Drive:
        return Drive(
            facts,
            live,
            self._pace,
            self._journal,
            self._metrics,
            state=state,
            spent=Spent(),
            position=position,
            members=self._members,
        )
