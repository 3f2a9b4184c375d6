from __future__ import annotations

import datetime as dt

import pytest

from pointsman.kit.problems import Problem
from pointsman.teams.crew import crew_of
from pointsman.teams.errors import TeamEmpty, TeamMemberDeleted, TeamWithoutLeader
from pointsman.teams.rows import Member, Staffed, Team

NOW = dt.datetime.now(dt.UTC)
TEAM = Team("desk", "Desk", None, "2.0", "coordinate", NOW, NOW, is_active=True)


def member(agent_id: str, role: str | None = None, *, active: bool = True) -> Member:
    return Member(agent_id, role, 0, agent_id.title(), None, active, NOW)


def test_a_crew_is_the_leader_and_the_others_in_their_order() -> None:
    bob, ann, cid = member("bob"), member("ann", "leader"), member("cid", "critic")
    assert crew_of(Staffed(TEAM, (bob, ann, cid))) == (TEAM, ann, (bob, cid))


@pytest.mark.parametrize(
    ("members", "problem", "names"),
    [
        ((), TeamEmpty, "desk"),
        ((member("ann", "leader"),), TeamEmpty, "ann"),
        ((member("ann"), member("bob")), TeamWithoutLeader, "desk"),
        ((member("ann", "leader"), member("bob", active=False)), TeamMemberDeleted, "bob"),
        ((member("ann", "leader", active=False), member("bob")), TeamMemberDeleted, "ann"),
    ],
)
def test_a_team_that_cannot_run_says_why(members: tuple[Member, ...], problem: type[Problem], names: str) -> None:
    with pytest.raises(problem) as raised:
        crew_of(Staffed(TEAM, members))
    assert names in raised.value.detail
    assert raised.value.hint
