"""Teams on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from pointsman.kit.ids import ChosenId
from pointsman.prompts.schemas import Description
from pointsman.teams.rows import LEADER, Member, Mode, Seat, Staffed
from pointsman.web.wire import NOT_BLANK, Body, Moment, Name, Read

MOST_MEMBERS = 64


def _role(value: str) -> str:
    if not value.strip():
        raise ValueError("It must not be blank; leave it out, or send null.")
    # "Leader" was meant to lead; kept as it stands it would be a role like any other, and nobody would lead.
    return LEADER if value.strip().lower() == LEADER else value


Role = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_role), Field(json_schema_extra=NOT_BLANK)]
OrderIndex = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
_ROLE = "What the member is in the team, as its leader is told; `leader` marks who leads."
_ORDER = "Lower ones are preferred."


class MemberSpec(Body):
    """A member of a team."""

    agent_id: ChosenId
    role: Role | None = Field(default=None, description=_ROLE)
    order_index: OrderIndex | None = Field(default=None, description=f"{_ORDER} Unset: its place in the list.")


def _one_seat_each(members: list[MemberSpec]) -> list[MemberSpec]:
    seen: set[str] = set()
    for member in members:
        if member.agent_id in seen:
            raise ValueError(f"The agent {member.agent_id} is listed twice.")
        seen.add(member.agent_id)
    leaders = [member.agent_id for member in members if member.role == LEADER]
    if len(leaders) > 1:
        raise ValueError(f"One member leads; {' and '.join(leaders)} have the role {LEADER}.")
    return members


Members = Annotated[list[MemberSpec], Field(max_length=MOST_MEMBERS), AfterValidator(_one_seat_each)]


class TeamCreate(Body):
    """A new team. Members can be given now or added later; to run it needs a leader and somebody to lead."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name
    description: Description | None = None
    version: Literal["2.0"] = "2.0"
    mode: Mode = Field(
        description="`coordinate`: the leader delegates to members as tools; `supervisor`: it dispatches durable jobs to them."
    )
    agents: Members = Field(default_factory=list[MemberSpec])


class TeamPatch(Body):
    """Changes to a team, a JSON merge patch: `agents`, where it is sent, replaces all members."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    description: Description | None = Field(default_factory=str)
    mode: Mode = Field(default_factory=lambda: "coordinate")
    agents: Members = Field(default_factory=list[MemberSpec])


class MemberPut(Body):
    """A membership. What is left out stays as it is with a member, and is unset (`role`) or the last place with a new one."""

    role: Role | None = Field(default_factory=lambda: None, description=_ROLE)
    order_index: OrderIndex = Field(default_factory=int, description=_ORDER)


class MemberPatch(MemberPut):
    """Changes to a membership; null takes the role away."""


class SeatRead(Read):
    """A membership, as the team lists it."""

    agent_id: str
    role: str | None
    order_index: int


class MemberRead(SeatRead):
    """A membership and its agent's name and description; `agent_is_active` is false once the agent was deleted."""

    name: str
    description: str | None
    agent_is_active: bool
    created_at: Moment

    @classmethod
    def of(cls, member: Member) -> MemberRead:
        """Shape a row."""
        return cls.model_validate(member)


class TeamRead(Read):
    """A team; `agents` are its members in order."""

    id: str
    name: str
    description: str | None
    version: str
    mode: Mode
    agents: list[SeatRead]
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, staffed: Staffed) -> TeamRead:
        """Shape a row and its members."""
        columns = {name: getattr(staffed.team, name) for name in cls.model_fields if name != "agents"}
        return cls(**columns, agents=[SeatRead.model_validate(member) for member in staffed.members])


def seats_of(members: list[MemberSpec]) -> list[Seat]:
    """The memberships that a list of members describes."""
    return [
        Seat(member.agent_id, member.role, index if member.order_index is None else member.order_index)
        for index, member in enumerate(members)
    ]
