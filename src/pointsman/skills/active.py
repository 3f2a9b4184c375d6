"""Which skills are active, and a toolbox that is held to what they allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pointsman.approvals.permissions import argument_of, matches
from pointsman.approvals.rows import Asking
from pointsman.llm.port import AssistantMessage, Message, ToolCall, ToolMessage, ToolSpec
from pointsman.skills.rows import PinnedSkill
from pointsman.skills.tools import LOAD, TOOLS, loaded_name
from pointsman.turns.plan import THINK
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits

ALWAYS = frozenset({*TOOLS, THINK})
"""Tools that no skill takes away: its own, without which it could not be followed, and thinking, which changes nothing."""


def active_skills(messages: Sequence[Message], skills: Sequence[PinnedSkill]) -> list[PinnedSkill]:
    """Those that were loaded in this turn before its last answer.

    Calls of one answer are made at once, so what is loaded by one of them counts from the next answer on: the same whether or not the turn
    was interrupted between them.
    """
    last = max((index for index, message in enumerate(messages) if isinstance(message, AssistantMessage)), default=0)
    results = (part for message in messages[:last] if isinstance(message, ToolMessage) for part in message.parts)
    loaded = {loaded_name(result.content) for result in results if result.name == LOAD and not result.is_error}
    return [skill for skill in skills if skill.name in loaded]


class Restricted:
    """The tools of one turn, as far as each active skill that lists `allowed_tools` has them on its list.

    A call outside is not made; the model is told why, and the turn goes on.
    """

    def __init__(self, inner: Toolbox, active: Callable[[], Sequence[PinnedSkill]]) -> None:
        self._inner = inner
        self._active = active

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered: tools that it may not use now too, so that it hears why."""
        return self._inner.specs

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run the tool unless an active skill does not allow it."""
        if call.name not in ALWAYS:
            for skill in self._active():
                if skill.allowed_tools and not self._allows(skill, call):
                    listed = ", ".join(skill.allowed_tools)
                    why = f"the skill {skill.name} is active and allows only {listed}. It is active until you have answered."
                    return ToolOutcome(f"The call was not made: {why}", is_error=True)
        return await self._inner.call(call)

    def _allows(self, skill: PinnedSkill, call: ToolCall) -> bool:
        parameters = next((spec.parameters for spec in self._inner.specs if spec.name == call.name), None)
        try:
            args = msgspec.json.decode(call.args or "{}", type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        return any(matches(pattern, call.name, argument_of(args, parameters)) for pattern in skill.allowed_tools)
