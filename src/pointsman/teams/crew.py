"""A team that can run: somebody leads, somebody is led, and all of them exist."""

from __future__ import annotations

from typing import NamedTuple

from pointsman.teams.errors import TeamEmpty, TeamMemberDeleted, TeamWithoutLeader
from pointsman.teams.rows import Member, Staffed, Team


class Crew(NamedTuple):
    """Who leads, and the other members in the order in which they are preferred."""

    team: Team
    leader: Member
    members: tuple[Member, ...]


def crew_of(staffed: Staffed) -> Crew:
    """Who does what. Raises TeamEmpty, TeamWithoutLeader, TeamMemberDeleted."""
    team, leader = staffed.team, staffed.leader
    adding = f"Add one with PUT /v2/teams/{team.id}/members/{{agent_id}} or `pointsman teams add {team.id} AGENT`."
    if not staffed.members:
        raise TeamEmpty(f"The team {team.id} has no members.", hint=adding)
    if leader is None:
        first = staffed.members[0].agent_id
        raise TeamWithoutLeader(
            f"None of the {len(staffed.members)} members of the team {team.id} has the role leader.",
            hint=f'For instance: PATCH /v2/teams/{team.id}/members/{first} with {{"role": "leader"}}.',
        )
    members = tuple(member for member in staffed.members if not member.leads)
    if not members:
        raise TeamEmpty(f"The team {team.id} has no members besides its leader {leader.agent_id}.", hint=adding)
    gone = [member.agent_id for member in staffed.members if not member.agent_is_active]
    if gone:
        raise TeamMemberDeleted(
            f"Agents of the team {team.id} were deleted: {', '.join(gone)}.",
            hint=f"Remove them (DELETE /v2/teams/{team.id}/members/{gone[0]}), or create the agents again.",
            agents=gone,
        )
    return Crew(team, leader, members)
