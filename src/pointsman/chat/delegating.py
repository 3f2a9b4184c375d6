"""The members of a team as tools of its leader: a call is a task, its result what the member answers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pointsman.approvals.rows import Asking
from pointsman.chat.driving import Drive
from pointsman.chat.members import Begin, Members, run_of
from pointsman.chat.planning import Prepared
from pointsman.chat.relaying import MESSAGES, Relay
from pointsman.llm.port import AssistantMessage, ToolCall, ToolSpec
from pointsman.runs import events
from pointsman.runs.events import Event
from pointsman.teams.resolve import Delegate, ResolvedTeam
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits

_AT_ONCE = 16  # members of one team's run at work at the same time
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"task": {"type": "string", "description": "What to do, with everything that the member has to know for it."}},
    "required": ["task"],
    "additionalProperties": False,
}
_BUSY_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Telling:
    """How far each member's run is told in the stream of its team's; with `void` a replica that died may have told more of a message."""

    upto: Mapping[str, int] = field(default_factory=dict[str, int])
    void: bool = False


class _Task(msgspec.Struct, forbid_unknown_fields=True):
    task: str


class Delegations:
    """The tools of a team's leader: its own, and a tool for each member.

    Tasks of different members are worked on at the same time, those of one member one after the other in the order of the calls,
    since they are turns of one conversation.
    """

    def __init__(
        self, own: Toolbox, members: Members, begin: Begin, drive: Drive, prepared: Prepared, team: ResolvedTeam, telling: Telling
    ) -> None:
        """Wrap the leader's `own` tools; `begin` drives the run of a member that was opened here."""
        self._own = own
        self._members = members
        self._begin = begin
        self._drive = drive
        self._prepared = prepared
        self._delegates = {delegate.tool: delegate for delegate in team.delegates}
        self._specs = (*own.specs, *(ToolSpec(one.tool, f"{one.description}.", _PARAMETERS) for one in team.delegates))
        self._telling = telling
        self._relays: dict[str, Relay] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the leader is offered: its own tools, then members in order of preference."""
        return self._specs

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run a tool of the leader's own, or give a member a task and wait for its answer; it fails as a tool fails."""
        delegate = self._delegates.get(call.name)
        if delegate is None:
            return await self._own.call(call)
        try:
            task = msgspec.json.decode(call.args or "{}", type=_Task).task.strip()
        except (msgspec.MsgspecError, UnicodeError) as error:
            return ToolOutcome(f'The arguments do not fit: {error}. Write them as {{"task": "..."}}.', is_error=True)
        if not task:
            return ToolOutcome("Write what the member shall do as `task`.", is_error=True)
        async with self._turns[delegate.agent.agent_id], self._room:
            return await self._give(delegate, call, task)

    async def _give(self, delegate: Delegate, call: ToolCall, task: str) -> ToolOutcome | Waits:
        run_id = run_of(self._drive.facts.id, self._drive.state.model_calls, call.id)
        opening = await self._members.open(self._drive, self._prepared, delegate, run_id, task, self._begin)
        while opening == "busy":  # somebody talks to the member in this very session
            await asyncio.sleep(_BUSY_PAUSE)
            opening = await self._members.open(self._drive, self._prepared, delegate, run_id, task, self._begin)
        if opening == "waiting":  # an earlier task of the member waits for a decision
            return Waits()
        if opening == "foreign":
            return ToolOutcome(f"{delegate.agent.name} cannot work for this user.", is_error=True)
        relay = self._relay(delegate, call, run_id, void=self._telling.void and opening == "exists")
        while relay.end is None:
            async with aclosing(self._members.follow(run_id, relay.upto)) as batches:
                async for batch in batches:
                    await relay.take(batch)
            status = await self._members.find_status(run_id)
            if status == "paused":
                return Waits()
            if status is None:
                return ToolOutcome(f"The work of {delegate.agent.name} was deleted.", is_error=True)
        return _outcome(delegate, relay.end)

    def _relay(self, delegate: Delegate, call: ToolCall, run_id: str, *, void: bool) -> Relay:
        """The one that has passed on what came before a pause, or a new one."""
        relay = self._relays.get(run_id)
        if relay is None:
            relay = Relay(
                self._drive,
                member=delegate.agent.agent_id,
                call_id=call.id,
                run_id=run_id,
                first_message=self._number_of(call) * MESSAGES,
                upto=self._telling.upto.get(run_id, 0),
                void=void,
            )
            self._relays[run_id] = relay
        return relay

    def _number_of(self, call: ToolCall) -> int:
        """Which delegation of the run this is, counted from 1 in the order in which the leader asked for them."""
        answers = [message for message in self._drive.state.messages if isinstance(message, AssistantMessage)]
        before = [part for answer in answers[:-1] for part in answer.parts if isinstance(part, ToolCall) and part.name in self._delegates]
        here = [part for part in answers[-1].parts if isinstance(part, ToolCall) and part.name in self._delegates]
        return len(before) + 1 + next(index for index, part in enumerate(here) if part.id == call.id)


def _outcome(delegate: Delegate, end: Event) -> ToolOutcome:
    data: dict[str, Any] = msgspec.json.decode(end.data)
    if end.type == events.RUN_COMPLETED:
        return ToolOutcome(data["content"])
    if end.type == events.RUN_CANCELLED:
        return ToolOutcome(f"The work of {delegate.agent.name} was cancelled.", is_error=True)
    error = data["error"]
    return ToolOutcome(f"{delegate.agent.name} failed: {error['title']}. {error.get('detail') or ''}".rstrip(), is_error=True)
