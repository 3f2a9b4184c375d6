"""What a driven run does: its plan, its turn and its answer, from the beginning or from its last recorded step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
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
from pointsman.tools.permitted import Asked, Asker, Permitted
from pointsman.turns.loop import TurnPaused, run_turn
from pointsman.turns.ports import Toolbox

T = TypeVar("T")

_AWAY_PAUSE = 0.2


class Turns:
    """Takes the turns of the runs that this process drives."""

    def __init__(self, db: Database, models: Models, budgets: Budgets, settings: RunSettings, approval_ttl: timedelta) -> None:
        self._db = db
        self._models = models
        self._budgets = budgets
        self._settings = settings
        self._approval_ttl = approval_ttl

    async def take(self, drive: Drive, prepared: Prepared, *, new_session: bool, asked_for: Asked | None = None) -> None:
        """The turn, from wherever its recorded steps stand to its end, or to where it has to wait. Raises the Problem it fails with.

        `asked_for` is what the run has asked people for before, and what they decided.
        """
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
        result = await run_turn(plan, drive.state, models, self._tools(drive, prepared.agent, asked_for or {}), drive)
        if isinstance(result, TurnPaused):
            await drive.pause(result.asking, self._db, self._approval_ttl)
        else:
            await drive.complete(result)

    async def go_on(self, drive: Drive, row: Record) -> None:
        """Rebuild the turn from its rows and go on."""
        recorded = await self._patiently(lambda connection: read_recorded(connection, row))
        prepared = planning.reprepare(msgspec.json.decode(row["request"]), recorded.agent, recorded.asked)
        drive.cancel_requested = bool(row["cancel_requested"])
        end_instead: Problem | asyncio.CancelledError | None = None
        if drive.cancel_requested:
            end_instead = asyncio.CancelledError()
        elif row["epoch"] - row["resumptions"] > self._settings.max_redrives:
            end_instead = RunInterrupted(f"The run was taken over {row['epoch'] - row['resumptions'] - 1} times.")
        paused = row["epoch"] == row["resumed_epoch"] + 1
        asked = row["epoch"] > 1 and not paused and not await self._budgets.was_never_asked(payer_of(drive.facts), row["id"])
        interrupted = recorded.interrupted if asked else None
        drive.resume(recorded.messages, recorded.spent, prepared.models[0], paused=paused, interrupted=interrupted, end_instead=end_instead)
        await self.take(drive, prepared, new_session=False, asked_for=recorded.asked_for)

    async def _patiently(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        """Read what an open run needs: while the database is away it waits, as its writes do."""
        while True:
            try:
                async with self._db.connection() as connection:
                    return await read(connection)
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)

    def _tools(self, drive: Drive, agent: ResolvedAgent, asked_for: Asked) -> Toolbox:
        facts = drive.facts
        names, timezone = planning.tool_names(agent, facts.user_id)
        book = None
        if facts.user_id is not None:
            book = memory.MemoryBook(self._db, memory.Scope(facts.tenant_id, facts.user_id, facts.agent_id), facts.id)
        builtins = Builtins(names, timezone=timezone, book=book)
        rules = planning.rules_of(agent)
        if rules.are_empty:
            return builtins
        asker = Asker(facts.tenant_id, facts.user_id, facts.key_id, facts.id, facts.agent_id)
        return Permitted(builtins, rules, asker, lambda: drive.state.model_calls, asked_for)


def payer_of(facts: RunFacts) -> Payer:
    """Whose budgets the run's model calls count against."""
    return Payer(facts.tenant_id, facts.agent_id, facts.user_id, facts.key_id)
