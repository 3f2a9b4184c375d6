"""What is stored of a run that another replica began: enough to go on from its last recorded step."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pointsman.agents.resolve import ResolvedAgent, from_snapshot
from pointsman.approvals.queries import list_of_run
from pointsman.chat.facts import Spent
from pointsman.chat.planning import decode_message
from pointsman.kit.db import Connection, Record
from pointsman.llm.port import Message, UserMessage
from pointsman.runs import events
from pointsman.runs import queries as run_queries
from pointsman.sessions import queries as session_queries
from pointsman.tools.permitted import Asked
from pointsman.usage import queries as usage_queries


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as its rows tell it; `interrupted` is text that was sent of a message whose model call was cut off."""

    agent: ResolvedAgent
    messages: list[Message]
    spent: Spent
    interrupted: str
    asked_for: Asked

    @property
    def asked(self) -> UserMessage:
        """What the user said, which is every run's first row."""
        first = self.messages[0]
        assert isinstance(first, UserMessage)
        return first


async def read_recorded(connection: Connection, row: Record) -> Recorded:
    """Everything that is stored of the run."""
    data = await run_queries.find_snapshot(connection, row["snapshot"])
    assert data is not None
    return Recorded(
        agent=from_snapshot(data),
        messages=[decode_message(content) for content in await session_queries.list_run_messages(connection, row["id"])],
        spent=_spent(await usage_queries.sum_of_run(connection, row["id"])),
        interrupted=interrupted_text(await run_queries.list_events(connection, row["id"], 0, rows=100_000)),
        asked_for=await list_of_run(connection, row["id"]) if row["resumptions"] else {},
    )


def _spent(row: Record) -> Spent:
    return Spent(row["calls"], row["prompt_tokens"], row["completion_tokens"], row["is_estimated"], row["cost"])


def interrupted_text(stored: list[events.Event]) -> str:
    """The text that was sent of a message whose model call the crash interrupted."""
    text = ""
    for event in stored:
        if event.type == events.MESSAGE_DELTA:
            text += msgspec.json.decode(event.data)["text"]
        elif event.type in {events.MESSAGE_COMPLETED, events.MESSAGE_RESET, events.USAGE_RECORDED}:
            text = ""
    return text
