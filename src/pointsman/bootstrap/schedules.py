"""Wires schedules: who is asked by the clock, and the loop that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pointsman.agents.service import AgentService
from pointsman.chat.schemas import ChatBody, ChatRequest
from pointsman.chat.service import ChatService
from pointsman.chat.team_runs import TeamRuns
from pointsman.kit.principal import Principal
from pointsman.schedules.errors import ScheduleForbidden
from pointsman.schedules.firing import Firing
from pointsman.schedules.service import ScheduleService
from pointsman.teams.service import TeamService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_schedules(gateway: Gateway, agents: AgentService, teams: TeamService, chats: ChatService, team_runs: TeamRuns) -> None:
    """Give the gateway the verbs of schedules, and have it act on them."""
    subjects = _Subjects(agents, teams, chats, team_runs)
    gateway.provide(ScheduleService(gateway.db, subjects))
    gateway.loops.add("schedules", Firing(gateway.db, subjects).run)


class _Subjects:
    """The port `Subjects`."""

    def __init__(self, agents: AgentService, teams: TeamService, chats: ChatService, team_runs: TeamRuns) -> None:
        self._agents = agents
        self._teams = teams
        self._chats = chats
        self._team_runs = team_runs

    async def require(self, principal: Principal, subject_type: str, subject_id: str) -> None:
        scope = f"{subject_type}s:run"
        if not principal.may(scope):
            raise ScheduleForbidden(f"The key has not the scope {scope}.", hint="GET /v2/whoami shows what it has.")
        await (self._agents.require_agent(subject_id) if subject_type == "agent" else self._teams.require_team(subject_id))

    async def ask(self, principal: Principal, subject_type: str, subject_id: str, request: ChatBody, run_id: str) -> None:
        asked = msgspec.convert(request.model_dump(mode="json", exclude_unset=True), ChatRequest)
        if subject_type == "agent":
            await self._chats.start(principal, subject_id, asked, run_id)
        else:
            await self._team_runs.start(principal, subject_id, asked, run_id)
