"""What the leader is asked: its own prompt and history as in a chat, and what a supervisor has to say beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pointsman.chat import planning
from pointsman.chat.redriving import interrupted_text
from pointsman.kit.db import Connection, Record
from pointsman.llm.models import Models
from pointsman.llm.port import AssistantMessage, Message, ModelCall, Text, UserMessage
from pointsman.runs import queries as run_queries
from pointsman.sessions import queries as session_queries
from pointsman.supervision import wording
from pointsman.supervision.classification import OUTPUT_SCHEMA
from pointsman.supervision.team import SupervisingTeam, team_of
from pointsman.supervision.wording import EngineOffer
from pointsman.turns.plan import TurnPlan, TurnState


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as its rows tell it; `interrupted` is text that was sent of an answer whose model call was cut off."""

    team: SupervisingTeam
    request: dict[str, Any]
    messages: list[Message]
    past: planning.Past
    interrupted: str

    @property
    def asked(self) -> UserMessage:
        """What the user said."""
        first = self.messages[0]
        assert isinstance(first, UserMessage)
        return first

    @property
    def wish(self) -> str:
        """The same as text."""
        return "\n".join(part.text for part in self.asked.parts if isinstance(part, Text))


async def read_recorded(connection: Connection, row: Record) -> Recorded:
    """Everything that is stored of a claimed run."""
    data = await run_queries.find_snapshot(connection, row["snapshot"])
    assert data is not None
    team = team_of(data)
    events = await run_queries.list_events(connection, row["id"], 0, rows=100_000) if row["asked_model"] else []
    past = await planning.read_past(
        connection,
        team.leader,
        tenant=row["tenant_id"],
        subject=team.leader.agent_id,
        session_id=row["session_id"],
        user_id=row["user_id"],
        run_id=row["id"],
        new_session=False,
    )
    contents = await session_queries.list_run_messages(connection, row["id"])
    return Recorded(
        team=team,
        request=msgspec.json.decode(row["request"]),
        messages=[planning.decode_message(content) for content in contents],
        past=past,
        interrupted=interrupted_text(events),
    )


class Leader:
    """Makes the questions of one run."""

    def __init__(self, team: SupervisingTeam, plan: TurnPlan) -> None:
        """Make one; `plan` is that of a chat with the leader."""
        # A supervisor has no tools: a setting that asks for one would leave it without an answer.
        settings = {name: value for name, value in plan.settings.items() if name != "tool_choice"}
        self._plan = replace(plan, settings=settings, stream=True)
        self.team = team

    @classmethod
    async def of(cls, recorded: Recorded, models: Models, *, max_steps: int) -> Leader:
        """The leader of a run as it was recorded. Raises ModelUnknown where its model's provider is gone."""
        prepared = planning.reprepare(recorded.request, recorded.team.leader, recorded.asked)
        reasons = await models.reasoning(prepared.models[0])
        return cls(recorded.team, planning.plan_turn(prepared, recorded.past, reasons=reasons, max_steps=max_steps))

    @property
    def models(self) -> tuple[str, ...]:
        """Whom it asks, in order."""
        return self._plan.models

    def classifying(self, messages: Sequence[Message], engines: Sequence[EngineOffer], most_jobs: int) -> ModelCall:
        """What the request is, in the light of all that was said so far."""
        plan = self._plan
        return ModelCall(
            models=plan.models,
            system=f"{plan.system}\n\n{wording.classifying(self.team, engines, most_jobs)}",
            messages=(*plan.history, *messages),
            settings=plan.settings,
            output_schema=OUTPUT_SCHEMA,
            reasoning=plan.reasoning,
            script=plan.script,
            step=_answers(messages),
            played=plan.played,
        )

    def answering(self, messages: Sequence[Message], since: int) -> tuple[TurnPlan, TurnState]:
        """The turn in which it answers the user, from the note at `since` on."""
        plan, before = self._plan, messages[:since]
        turn = replace(
            plan,
            system=f"{plan.system}\n\n{wording.answering(self.team)}",
            history=(*plan.history, *before),
            played=plan.played + _answers(before),
        )
        return turn, TurnState(list(messages[since:]))


def _answers(messages: Sequence[Message]) -> int:
    return sum(isinstance(message, AssistantMessage) for message in messages)
