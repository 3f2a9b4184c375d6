"""A team resolved into something runnable: the leader, and each member as a tool of the leader's; frozen when a run begins."""

from __future__ import annotations

import asyncio
import hashlib
import re

import msgspec

from pointsman.agents.resolve import Catalogue, ResolvedAgent
from pointsman.teams.crew import Crew
from pointsman.teams.rows import Member

_PREFIX = "delegate_to_"
_LONGEST_NAME = 64  # what every provider takes as the name of a tool
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Delegate(msgspec.Struct, frozen=True):
    """A member as the leader sees it: a tool of this name and description."""

    tool: str
    description: str
    agent: ResolvedAgent


class ResolvedTeam(msgspec.Struct, frozen=True):
    """A coordinating team; stored in `run_snapshots`, hence part of the database's contract. Delegates stand in their order."""

    team_id: str
    name: str
    leader: ResolvedAgent
    delegates: tuple[Delegate, ...]

    @property
    def briefing(self) -> str:
        """What the leader's prompt is followed by."""
        lines = "\n".join(f"- {delegate.tool}: {delegate.description}" for delegate in self.delegates)
        return (
            f"You lead the team {self.name}. Give work to its members by calling them as tools, several at once where their tasks do not "
            "depend on each other. A member sees only the task that you write, and what it did for you earlier in this conversation. "
            f"Where more than one would do, prefer the one that is named first:\n{lines}"
        )


async def resolve(crew: Crew, catalogue: Catalogue) -> ResolvedTeam:
    """What the team runs on. Raises AgentNotFound, AgentPromptMissing."""
    leader, *agents = await asyncio.gather(*(catalogue.resolve(member.agent_id) for member in (crew.leader, *crew.members)))
    tools = _tools([member.agent_id for member in crew.members])
    delegates = tuple(Delegate(tool, _description(member), agent) for tool, member, agent in zip(tools, crew.members, agents, strict=True))
    return ResolvedTeam(crew.team.id, crew.team.name, leader, delegates)


def from_snapshot(data: bytes | str) -> ResolvedTeam:
    """The team that a run began with."""
    return _snapshots.decode(data)


def tool_of(agent_id: str) -> str:
    """`delegate_to_<agent>`; what no provider takes in the name of a tool becomes `_`."""
    return (_PREFIX + _NO_NAME.sub("_", agent_id))[:_LONGEST_NAME]


def _tools(agent_ids: list[str]) -> list[str]:
    """Their names; where two would be the same, a hash of the id makes the difference."""
    plain = [tool_of(agent_id) for agent_id in agent_ids]
    return [name if plain.count(name) == 1 else _distinct(name, agent_id) for name, agent_id in zip(plain, agent_ids, strict=True)]


def _distinct(name: str, agent_id: str) -> str:
    digest = hashlib.sha256(agent_id.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def _description(member: Member) -> str:
    role = f" ({member.role})" if member.role else ""
    about = f": {member.description}" if member.description else ""
    return f"Give a task to {member.name}{role}{about}"


_snapshots = msgspec.json.Decoder(ResolvedTeam)
