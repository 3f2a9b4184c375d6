"""Rows of teams: the team, and its live members in their order."""

from __future__ import annotations

import datetime as dt
from typing import Literal, NamedTuple

import msgspec

from pointsman.kit.db import Record

Mode = Literal["coordinate", "supervisor"]
LEADER = "leader"


class Team(msgspec.Struct, frozen=True):
    """A team as data."""

    id: str
    name: str
    description: str | None
    version: str
    mode: Mode
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> Team:
        """From a row that has its columns, and perhaps others."""
        return cls(*(row[name] for name in cls.__struct_fields__))


class Seat(NamedTuple):
    """What a membership says: who, as what, and where in the order of preference."""

    agent_id: str
    role: str | None
    order_index: int


class Member(msgspec.Struct, frozen=True):
    """A live membership with what its agent is called; `agent_is_active` is false once the agent was deleted."""

    agent_id: str
    role: str | None
    order_index: int
    name: str
    description: str | None
    agent_is_active: bool
    created_at: dt.datetime

    @property
    def seat(self) -> Seat:
        """The membership alone."""
        return Seat(self.agent_id, self.role, self.order_index)

    @property
    def leads(self) -> bool:
        """Whether this member leads the team."""
        return self.role == LEADER


class Staffed(NamedTuple):
    """A team and its members in order."""

    team: Team
    members: tuple[Member, ...]

    @classmethod
    def of(cls, row: Record) -> Staffed:
        """From a row with the members as JSON."""
        return cls(Team.of(row), _members.decode(row["members"]))

    @property
    def seats(self) -> list[Seat]:
        """The memberships alone."""
        return [member.seat for member in self.members]

    @property
    def leader(self) -> Member | None:
        """Who leads, if anybody does."""
        return next((member for member in self.members if member.leads), None)

    def find(self, agent_id: str) -> Member | None:
        """The membership of an agent."""
        return next((member for member in self.members if member.agent_id == agent_id), None)


_members = msgspec.json.Decoder(tuple[Member, ...])
