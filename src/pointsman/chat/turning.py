"""What a driven run does: its plan, its turn and its answer, from the beginning or from its last recorded step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from pointsman.agents.resolve import ResolvedAgent
from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.chat import planning
from pointsman.chat.driving import Drive
from pointsman.chat.facts import RunFacts
from pointsman.chat.planning import Prepared
from pointsman.chat.redriving import read_recorded
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.problems import Problem, Unavailable
from pointsman.llm.models import Models
from pointsman.runs.errors import RunInterrupted
from pointsman.sessions import memory
from pointsman.settings import RunSettings
from pointsman.tools.builtin import Builtins
from pointsman.turns.loop import run_turn

T = TypeVar("T")

_AWAY_PAUSE = 0.2


class Turns:
    """Takes the turns of the runs that this process drives."""

    def __init__(self, db: Database, models: Models, budgets: Budgets, settings: RunSettings) -> None:
        self._db = db
        self._models = models
        self._budgets = budgets
        self._settings = settings

    async def take(self, drive: Drive, prepared: Prepared, *, new_session: bool) -> None:
        """The turn, from wherever its recorded steps stand to its end. Raises the Problem it fails with."""
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
        models = self._budgets.around(self._models, payer_of(facts), facts.id, epoch=drive.live.epoch)
        result = await run_turn(plan, drive.state, models, self._tools(facts, prepared.agent), drive)
        await drive.complete(result)

    async def go_on(self, drive: Drive, row: Record) -> None:
        """Rebuild the turn from its rows and go on."""
        recorded = await self._patiently(lambda connection: read_recorded(connection, row))
        prepared = planning.reprepare(msgspec.json.decode(row["request"]), recorded.agent, recorded.asked)
        drive.cancel_requested = bool(row["cancel_requested"])
        end_instead: Problem | asyncio.CancelledError | None = None
        if drive.cancel_requested:
            end_instead = asyncio.CancelledError()
        elif row["epoch"] > self._settings.max_redrives:
            end_instead = RunInterrupted(f"The run was taken over {row['epoch'] - 1} times.")
        asked = row["epoch"] > 1 and not await self._budgets.was_never_asked(payer_of(drive.facts), row["id"])
        interrupted = recorded.interrupted if asked else None
        drive.resume(recorded.messages, recorded.spent, prepared.models[0], interrupted=interrupted, end_instead=end_instead)
        await self.take(drive, prepared, new_session=False)

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


def payer_of(facts: RunFacts) -> Payer:
    """Whose budgets the run's model calls count against."""
    return Payer(facts.tenant_id, facts.agent_id, facts.user_id, facts.key_id)
