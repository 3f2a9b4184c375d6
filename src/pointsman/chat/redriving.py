"""What is stored of a run that another replica began: enough to go on from its last recorded step."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pointsman.agents.resolve import ResolvedAgent, from_snapshot
from pointsman.approvals.queries import list_of_run
from pointsman.chat.facts import Spent, spent_of
from pointsman.chat.planning import decode_message
from pointsman.chat.relaying import is_relayed, upto_of
from pointsman.kit.db import Connection, Record
from pointsman.llm.port import Message, UserMessage
from pointsman.runs import events
from pointsman.runs import queries as run_queries
from pointsman.sessions import queries as session_queries
from pointsman.teams.resolve import ResolvedTeam
from pointsman.teams.resolve import from_snapshot as team_from_snapshot
from pointsman.tools.permitted import Asked
from pointsman.usage import queries as usage_queries


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as its rows tell it; `interrupted` is text that was sent of a message whose model call was cut off.

    Of a team's run `team` is what its leader leads, and `told` how far each member's run is told in its stream.
    """

    agent: ResolvedAgent
    team: ResolvedTeam | None
    told: dict[str, int]
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
    team = team_from_snapshot(data) if row["kind"] == "team" else None
    stored = await run_queries.list_events(connection, row["id"], 0, rows=100_000)
    return Recorded(
        agent=from_snapshot(data) if team is None else team.leader,
        team=team,
        told={} if team is None else upto_of(stored),
        messages=[decode_message(content) for content in await session_queries.list_run_messages(connection, row["id"])],
        spent=spent_of(await usage_queries.sum_of_run(connection, row["id"])),
        interrupted=interrupted_text(stored if team is None else [event for event in stored if not is_relayed(event)]),
        asked_for=await list_of_run(connection, row["id"]) if row["resumptions"] else {},
    )


def interrupted_text(stored: list[events.Event]) -> str:
    """The text that was sent of a message whose model call the crash interrupted."""
    text = ""
    for event in stored:
        if event.type == events.MESSAGE_DELTA:
            text += msgspec.json.decode(event.data)["text"]
        elif event.type in {events.MESSAGE_COMPLETED, events.MESSAGE_RESET, events.USAGE_RECORDED}:
            text = ""
    return text
