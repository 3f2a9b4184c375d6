"""The runs of a team's members: each task that the leader gives is a run of its own, under an id that the task determines."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from functools import partial

from pointsman.budgets.metering import Budgets
from pointsman.chat import planning
from pointsman.chat.driving import Drive, TakenOver
from pointsman.chat.facts import Parent, RunFacts, Spent, spent_of
from pointsman.chat.journal import Opening
from pointsman.chat.opening import Openings
from pointsman.chat.patience import patiently
from pointsman.chat.paying import payer_of
from pointsman.chat.planning import Prepared
from pointsman.chat.schemas import ChatRequest
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.llm.models import Models
from pointsman.runs import queries as run_queries
from pointsman.runs.events import Event
from pointsman.runs.live import LiveRun
from pointsman.runs.replay import Replay
from pointsman.teams.resolve import Delegate
from pointsman.usage import queries as usage_queries

Begin = Callable[[RunFacts, LiveRun, Prepared], None]

_FIRST_LOOK = 0.05
_LATEST_LOOK = 0.5


class Members:
    """Opens, follows and ends them; whichever replica drives one, and whichever drives its team's run."""

    def __init__(self, *, db: Database, models: Models, budgets: Budgets, egress: Egress, openings: Openings, replay: Replay) -> None:
        self._db = db
        self._models = models
        self._budgets = budgets
        self._egress = egress
        self._openings = openings
        self._replay = replay

    async def open(self, parent: Drive, leading: Prepared, delegate: Delegate, run_id: str, task: str, begin: Begin) -> Opening:
        """Have the member's run driven, by `begin` where it is opened here. Raises the Problem of whatever prevents it."""
        if await self.find_status(run_id) is not None:
            return "exists"
        asker = parent.facts
        request = ChatRequest(
            message=task,
            user_id=asker.user_id,
            session_id=session_of(asker.session_id, delegate.agent.agent_id),
            stream=leading.stream,
            variables=leading.variables or None,
        )
        prepared = await planning.prepare(request, delegate.agent, self._models, self._egress)
        facts = RunFacts(
            id=run_id,
            tenant_id=asker.tenant_id,
            agent_id=delegate.agent.agent_id,
            session_id=request.session_id or "",
            user_id=asker.user_id,
            key_id=asker.key_id,
            model=prepared.models[0],
            parent=Parent(asker.id, asker.session_id),
        )
        await self._budgets.admit(payer_of(facts), prepared.models)
        opening = await self._openings.open_within(parent.live, facts, request, prepared)
        if isinstance(opening, LiveRun):
            begin(facts, opening, prepared)
            return "opened"
        if opening == "orphaned":
            raise TakenOver(asker.id)
        return opening

    async def find_status(self, run_id: str) -> str | None:
        """That of a member's run, where there is one."""
        return await patiently(self._db, lambda connection: run_queries.find_status(connection, run_id))

    def follow(self, run_id: str, after: int) -> AsyncGenerator[list[Event]]:
        """Batches of its events as they come, to its end or to where it is paused."""
        return self._replay.read_on(run_id, after, through_pauses=False)

    async def settle(self, run_id: str) -> dict[str, Spent]:
        """End what members still do for this run, and wait for it: what all of them have spent for it, by agent."""
        asked: set[str] = set()
        pause = _FIRST_LOOK
        while live := await patiently(self._db, lambda connection: run_queries.list_live_children(connection, run_id)):
            await patiently(self._db, partial(_cancel, run_ids=set(live) - asked))
            asked |= set(live)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LATEST_LOOK)
        return await self.spent(run_id)

    async def spent(self, run_id: str) -> dict[str, Spent]:
        """What members have spent for this run so far, by agent."""
        rows = await patiently(self._db, lambda connection: usage_queries.sum_of_children(connection, run_id))
        return {row["subject"]: spent_of(row) for row in rows}


def session_of(team_session: str, agent_id: str) -> str:
    """A member's own session within that of its team: what it remembers of what it was given before."""
    return f"ses_{hashlib.sha256(f'{team_session}/{agent_id}'.encode()).hexdigest()[:22]}"


def run_of(parent_id: str, step: int, call_id: str) -> str:
    """The run of a task: the same for whoever takes the team's run over; providers number their calls anew in each answer."""
    return f"run_{hashlib.sha256(f'{parent_id}/{step}/{call_id}'.encode('utf-8', 'replace')).hexdigest()[:22]}"


async def _cancel(connection: Connection, run_ids: set[str]) -> None:
    for run_id in run_ids:
        await run_queries.request_cancel(connection, run_id)
