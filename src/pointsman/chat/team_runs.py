"""Runs of teams: a coordinating team's is its leader's turn, a supervising team's is somebody else's business behind a port."""

from __future__ import annotations

from typing import NamedTuple, Protocol, cast

from pointsman.chat.facts import Outcome
from pointsman.chat.schemas import Accepted, ChatRequest
from pointsman.chat.service import ChatService
from pointsman.kit.db import Database
from pointsman.kit.principal import Principal
from pointsman.runs import queries as run_queries
from pointsman.runs.schemas import RunKind, RunStatus
from pointsman.teams.crew import Crew, crew_of
from pointsman.teams.service import TeamService


class Supervision(Protocol):
    """Who runs supervising teams."""

    async def start(self, principal: Principal, crew: Crew, request: ChatRequest, run_id: str | None = None) -> Accepted:
        """Accept a request. Raises the Problem of whatever prevents it; then there is no run."""
        ...

    async def require_accepted(self, run_id: str) -> Accepted:
        """A run that exists already, as it stands."""
        ...

    async def wait(self, run_id: str) -> Outcome:
        """How a run ended."""
        ...


class Started(NamedTuple):
    """A run of a team that has begun, now or before."""

    run_id: str
    session_id: str | None
    kind: RunKind


class TeamRuns:
    """The verbs of whoever asks a team."""

    def __init__(self, db: Database, teams: TeamService, chats: ChatService, supervision: Supervision) -> None:
        self._db = db
        self._teams = teams
        self._chats = chats
        self._supervision = supervision

    async def start(self, principal: Principal, team_id: str, request: ChatRequest, run_id: str | None = None) -> Started:
        """Ask a team. Raises TeamNotFound, TeamEmpty, TeamWithoutLeader, TeamMemberDeleted, and the Problem of what else prevents it."""
        crew = crew_of(await self._teams.require_team(team_id))
        if crew.team.mode == "supervisor":
            accepted = await self._supervision.start(principal, crew, request, run_id)
            return Started(accepted.run_id, request.session_id, "supervised")
        facts = await self._chats.start_team(principal, crew, request, run_id)
        return Started(facts.id, facts.session_id, "team")

    async def find(self, run_id: str) -> Started | None:
        """A run that exists already: for a request that is repeated."""
        async with self._db.connection() as connection:
            row = await run_queries.find_run(connection, run_id, None)
        return None if row is None else Started(run_id, row["session_id"], row["kind"])

    async def accepted(self, started: Started) -> Accepted:
        """What a caller is told who does not wait."""
        if started.kind == "supervised":
            return await self._supervision.require_accepted(started.run_id)
        async with self._db.connection() as connection:
            status = await run_queries.find_status(connection, started.run_id)
        return Accepted(started.run_id, cast("RunStatus", status or "running"), f"/v2/runs/{started.run_id}/events")

    async def wait(self, started: Started) -> Outcome:
        """How it ended, or what it is paused with."""
        return await (self._supervision if started.kind == "supervised" else self._chats).wait(started.run_id)
