"""What a driven run does: its plan, its turn and its answer, from the beginning or from its last recorded step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec

from pointsman.approvals.rows import Approval
from pointsman.budgets.metering import Budgets
from pointsman.chat import planning
from pointsman.chat.delegating import Delegations, Telling
from pointsman.chat.driving import Drive
from pointsman.chat.members import Begin, Members
from pointsman.chat.patience import patiently
from pointsman.chat.paying import payer_of
from pointsman.chat.planning import Prepared
from pointsman.chat.redriving import read_recorded
from pointsman.credentials.using import RunUser
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.problems import Problem
from pointsman.knowledge.library import USUAL, Library
from pointsman.knowledge.searching import Asker as KnowledgeAsker
from pointsman.knowledge.searching import Searcher
from pointsman.llm.models import Models
from pointsman.runs.errors import RunInterrupted
from pointsman.sessions import memory
from pointsman.settings import RunSettings
from pointsman.skills.active import Restricted, active_skills
from pointsman.skills.tools import Shelf, SkillTools
from pointsman.tools.builtin import Builtins
from pointsman.tools.fetching import Web
from pointsman.tools.permitted import Asked, Asker, Permitted
from pointsman.tools.sent import Sent
from pointsman.tools.sources import Joined, ToolSource
from pointsman.turns.loop import TurnPaused, run_turn
from pointsman.turns.ports import Toolbox


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of a run that goes on: what it has asked people for and what they decided, and how far its members' work is told."""

    asked_for: Asked = field(default_factory=dict[tuple[int, str], Approval])
    telling: Telling = field(default_factory=Telling)


_NOTHING = Before()


class Turns:
    """Takes the turns of the runs that this process drives."""

    def __init__(
        self,
        db: Database,
        models: Models,
        budgets: Budgets,
        shelf: Shelf,
        web: Web,
        sources: Mapping[str, ToolSource],
        searcher: Searcher,
        members: Members,
        begin: Begin,
        settings: RunSettings,
        approval_ttl: timedelta,
    ) -> None:
        """Make one; `sources` are those of tools that are not built in, by type, and `begin` drives a member's run that was opened here."""
        self._db = db
        self._models = models
        self._budgets = budgets
        self._shelf = shelf
        self._web = web
        self._sources = sources
        self._searcher = searcher
        self._members = members
        self._begin = begin
        self._settings = settings
        self._approval_ttl = approval_ttl

    async def take(self, drive: Drive, prepared: Prepared, *, new_session: bool, before: Before = _NOTHING) -> None:
        """The turn, from wherever its recorded steps stand to its end, or to where it has to wait. Raises the Problem it fails with."""
        facts = drive.facts

        async def read(connection: Connection) -> planning.Past:
            return await planning.read_past(
                connection,
                prepared.agent,
                tenant=facts.tenant_id,
                subject=facts.subject,
                session_id=facts.session_id,
                user_id=facts.user_id,
                run_id=facts.id,
                new_session=new_session,
            )

        known = planning.has_past(prepared.agent, user_id=facts.user_id, new_session=new_session)
        past = await patiently(self._db, read) if known else planning.Past()
        reasons = await self._models.reasoning(prepared.models[0])
        plan = planning.plan_turn(prepared, past, reasons=reasons, max_steps=self._settings.max_steps)
        models = self._budgets.around(self._models, payer_of(facts), facts.id, epoch=drive.live.epoch)
        tools = self._tools(drive, prepared, before, await self._opened(drive, prepared))
        while isinstance(result := await run_turn(plan, drive.state, models, tools, drive), TurnPaused):
            if await drive.pause(result.asking, self._db, self._approval_ttl):
                return
        await drive.complete(result)

    async def go_on(self, drive: Drive, row: Record) -> None:
        """Rebuild the turn from its rows and go on."""
        recorded = await patiently(self._db, lambda connection: read_recorded(connection, row))
        prepared = planning.reprepare(msgspec.json.decode(row["request"]), recorded.agent, recorded.asked)
        if recorded.team is not None:
            prepared = planning.led(prepared, recorded.team)
            drive.facts = replace(drive.facts, agent_id=recorded.team.leader.agent_id)
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
        before = Before(recorded.asked_for, Telling(recorded.told, void=not paused))
        await self.take(drive, prepared, new_session=False, before=before)

    async def _opened(self, drive: Drive, prepared: Prepared) -> list[Toolbox]:
        facts = drive.facts
        user = RunUser(facts.tenant_id, facts.user_id, facts.id)
        listed = {kind: [tool for tool in prepared.agent.tools if tool["type"] == kind] for kind in self._sources}
        boxes = [await self._sources[kind].open(references, user) for kind, references in listed.items() if references]
        return [Sent(box, self._db, facts.id, lambda: drive.state.model_calls) for box in boxes]

    def _tools(self, drive: Drive, prepared: Prepared, before: Before, opened: Sequence[Toolbox]) -> Toolbox:
        facts, agent = drive.facts, prepared.agent
        names, timezone = planning.tool_names(agent, facts.user_id)
        book = None
        if facts.user_id is not None:
            book = memory.MemoryBook(self._db, memory.Scope(facts.tenant_id, facts.user_id, facts.agent_id), facts.id)
        known = agent.config.knowledge or {}
        asker = KnowledgeAsker(facts.tenant_id, facts.key_id, facts.agent_id, facts.user_id, facts.session_id)
        library = Library(self._searcher, asker, known.get("collections", ()), known.get("top_k", USUAL))
        tools: Toolbox = Builtins(names, timezone=timezone, book=book, library=library, web=self._web)
        if opened:
            tools = Joined((tools, *opened))
        if prepared.team is not None:
            tools = Delegations(tools, self._members, self._begin, drive, prepared, prepared.team, before.telling)
        if agent.skills:
            tools = SkillTools(tools, agent.skills, self._shelf)
        rules = planning.rules_of(agent)
        if not rules.are_empty:
            asker = Asker(facts.tenant_id, facts.user_id, facts.key_id, facts.id, facts.agent_id)
            tools = Permitted(tools, rules, asker, lambda: drive.state.model_calls, before.asked_for)
        # Outermost: nobody is asked about a call that an active skill refuses.
        return Restricted(tools, lambda: active_skills(drive.state.messages, agent.skills)) if agent.skills else tools
