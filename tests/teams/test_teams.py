from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once

from pointsman.agents.service import AgentService
from pointsman.kit.db import Connection
from pointsman.teams.errors import TeamExists, TeamLeaderTaken
from pointsman.teams.schemas import MemberPut, TeamCreate
from pointsman.teams.service import TeamService

LEADER = {"agent_id": "ann", "role": "leader"}
TEAM: dict[str, Any] = {"id": "desk", "name": "Desk", "mode": "coordinate", "agents": [LEADER, {"agent_id": "bob", "role": "writer"}]}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/teams", json=TEAM | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def seats(team: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(seat["agent_id"], seat["role"], seat["order_index"]) for seat in team["agents"]]


async def test_a_team_is_read_back_with_its_members_in_order(api: httpx.AsyncClient) -> None:
    members = [{"agent_id": "cid", "order_index": 5}, LEADER | {"order_index": 2}, {"agent_id": "bob", "role": "writer"}]
    answer = await api.post("/v2/teams", json=TEAM | {"agents": members, "description": "d"})
    assert answer.headers["location"] == "/v2/teams/desk"
    team = answer.json()
    assert {name: team[name] for name in ("id", "name", "description", "version", "mode", "is_active")} == {
        "id": "desk",
        "name": "Desk",
        "description": "d",
        "version": "2.0",
        "mode": "coordinate",
        "is_active": True,
    }
    assert seats(team) == [("ann", "leader", 2), ("bob", "writer", 2), ("cid", None, 5)]
    assert (await api.get("/v2/teams/desk")).json() == team
    assert (await api.get("/v2/teams")).json() == {"items": [team], "next_cursor": None}


async def test_a_team_may_be_made_first_and_staffed_later(api: httpx.AsyncClient) -> None:
    team = await made(api, id=None, agents=[])
    assert team["id"].startswith("team_")
    assert team["agents"] == []
    answer = await api.put(f"/v2/teams/{team['id']}/members/ann", json={"role": "Leader"})
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v2/teams/{team['id']}/members/ann")
    assert (answer.json()["role"], answer.json()["order_index"]) == ("leader", 0)
    assert (await api.put(f"/v2/teams/{team['id']}/members/bob", json={})).json()["order_index"] == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"mode": "coordinated"}, "/mode"),
        ({"version": "1.0"}, "/version"),
        ({"name": " "}, "/name"),
        ({"id": "../x"}, "/id"),
        ({"agents": [LEADER, LEADER]}, "/agents"),
        ({"agents": [LEADER, {"agent_id": "bob", "role": "LEADER"}]}, "/agents"),
        ({"agents": [{"agent_id": "ann", "rôle": "x"}]}, "/agents/0/rôle"),
        ({"agents": [{"agent_id": "ann", "role": " "}]}, "/agents/0/role"),
        ({"agents": [{"agent_id": "ann", "order_index": -1}]}, "/agents/0/order_index"),
        ({"agents": [{"agent_id": "ann", "order_index": True}]}, "/agents/0/order_index"),
        ({"agents": [{"agent_id": "ann", "order_index": 2**31}]}, "/agents/0/order_index"),
        ({"agents": [{"agent_id": f"a{number}"} for number in range(65)]}, "/agents"),
        ({"members": []}, "/members"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(api: httpx.AsyncClient, fields: dict[str, Any], pointer: str) -> None:
    refused = problem(await api.post("/v2/teams", json=TEAM | fields), 422, "invalid-request")
    assert refused["errors"][0]["pointer"] == pointer
    problem(await api.get("/v2/teams/desk"), 404, "team-not-found")


async def test_an_agent_that_does_not_exist_or_was_deleted_cannot_become_a_member(api: httpx.AsyncClient) -> None:
    await api.delete("/v2/agents/cid")
    agents = [LEADER, {"agent_id": "nobody"}, {"agent_id": "cid"}]
    refused = problem(await api.post("/v2/teams", json=TEAM | {"agents": agents}), 422, "team-agent-unknown")
    assert [error["pointer"] for error in refused["errors"]] == ["/agents/1/agent_id", "/agents/2/agent_id"]
    problem(await api.get("/v2/teams/desk"), 404, "team-not-found")
    await made(api)
    problem(await api.put("/v2/teams/desk/members/cid", json={}), 422, "team-agent-unknown")
    problem(await api.patch("/v2/teams/desk", json={"agents": [{"agent_id": "nobody"}]}), 422, "team-agent-unknown")
    assert seats((await api.get("/v2/teams/desk")).json()) == seats({"agents": [LEADER | {"order_index": 0}, *_bob("writer", 1)]})


async def test_a_patch_changes_what_it_names_and_agents_replace_all_members(api: httpx.AsyncClient) -> None:
    before = await made(api)
    assert (await api.patch("/v2/teams/desk", json={})).json() == before
    after = (await api.patch("/v2/teams/desk", json={"name": "Other", "description": "d", "mode": "supervisor"})).json()
    assert (after["name"], after["description"], after["mode"], seats(after)) == ("Other", "d", "supervisor", seats(before))
    assert after["updated_at"] > before["updated_at"]
    assert (await api.patch("/v2/teams/desk", json={"description": None})).json()["description"] is None
    agents = [{"agent_id": "bob", "role": "leader"}, {"agent_id": "cid"}]
    assert seats((await api.patch("/v2/teams/desk", json={"agents": agents})).json()) == [("bob", "leader", 0), ("cid", None, 1)]
    assert (await api.patch("/v2/teams/desk", json={"agents": []})).json()["agents"] == []
    assert problem(await api.patch("/v2/teams/desk", json={"name": None}), 422, "invalid-request")["errors"][0]["pointer"] == "/name"


async def test_a_member_is_added_changed_and_removed(api: httpx.AsyncClient) -> None:
    await made(api)
    assert (await api.put("/v2/teams/desk/members/cid", json={"role": "critic", "order_index": 0})).status_code == 201
    again = await api.put("/v2/teams/desk/members/cid", json={"order_index": 7})
    assert (again.status_code, again.json()["role"], again.json()["order_index"]) == (200, "critic", 7)
    changed = (await api.patch("/v2/teams/desk/members/cid", json={"role": None})).json()
    assert (changed["role"], changed["order_index"], changed["name"], changed["description"]) == (None, 7, "Cid", "cid helps")
    listed = (await api.get("/v2/teams/desk/members")).json()["items"]
    assert [member["agent_id"] for member in listed] == ["ann", "bob", "cid"]
    assert (await api.get("/v2/teams/desk/members/cid")).json() == listed[2]
    for _ in range(2):
        assert (await api.delete("/v2/teams/desk/members/cid")).status_code == 204
    problem(await api.get("/v2/teams/desk/members/cid"), 404, "team-member-not-found")
    problem(await api.patch("/v2/teams/desk/members/cid", json={"role": "x"}), 404, "team-member-not-found")
    problem(await api.delete("/v2/teams/none/members/cid"), 404, "team-not-found")


async def test_there_is_one_live_membership_of_an_agent_in_a_team_and_the_past_ones_stay(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api)
    for role in ("writer", "critic"):
        await api.delete("/v2/teams/desk/members/bob")
        await api.put("/v2/teams/desk/members/bob", json={"role": role})
    rows = await owner.fetch("SELECT role, is_active FROM team_agent WHERE team_id = 'desk' AND agent_id = 'bob' ORDER BY id")
    assert [(row["role"], row["is_active"]) for row in rows] == [("writer", False), ("writer", False), ("critic", True)]


async def test_a_second_leader_is_refused_until_the_first_steps_down(api: httpx.AsyncClient) -> None:
    await made(api)
    refused = problem(await api.put("/v2/teams/desk/members/cid", json={"role": "leader"}), 409, "team-leader-taken")
    assert "ann" in refused["detail"]
    problem(await api.patch("/v2/teams/desk/members/bob", json={"role": "leader"}), 409, "team-leader-taken")
    assert (await api.put("/v2/teams/desk/members/ann", json={"role": "leader"})).status_code == 200
    await api.patch("/v2/teams/desk/members/ann", json={"role": None})
    assert (await api.patch("/v2/teams/desk/members/bob", json={"role": "leader"})).status_code == 200


async def test_of_two_who_want_to_lead_at_once_one_does(api: httpx.AsyncClient, teams: TeamService) -> None:
    await made(api, agents=[{"agent_id": "ann"}, {"agent_id": "bob"}])
    lead = MemberPut(role="leader")
    results = await at_once(*(lambda who=who: teams.update_member(CALLER, "desk", who, lead) for who in ("ann", "bob")))
    assert sorted(isinstance(result, TeamLeaderTaken) for result in results) == [False, True], results
    assert [role for _, role, _ in seats((await api.get("/v2/teams/desk")).json())].count("leader") == 1


async def test_of_two_teams_made_at_once_with_one_id_one_is_made(api: httpx.AsyncClient, teams: TeamService) -> None:
    del api
    body = TeamCreate.model_validate(TEAM)
    results = await at_once(*[lambda: teams.create_team(CALLER, body)] * 4)
    assert [isinstance(result, TeamExists) for result in results].count(True) == 3, results


async def test_a_deleted_team_is_absent_and_comes_back_as_it_is_described_again(api: httpx.AsyncClient) -> None:
    await made(api)
    problem(await api.post("/v2/teams", json=TEAM), 409, "team-exists")
    for _ in range(2):
        assert (await api.delete("/v2/teams/desk")).status_code == 204
    problem(await api.get("/v2/teams/desk"), 404, "team-not-found")
    problem(await api.patch("/v2/teams/desk", json={"name": "x"}), 404, "team-not-found")
    problem(await api.put("/v2/teams/desk/members/cid", json={}), 404, "team-not-found")
    problem(await api.delete("/v2/teams/never"), 404, "team-not-found")
    assert (await api.get("/v2/teams")).json()["items"] == []
    assert [team["is_active"] for team in (await api.get("/v2/teams?include_inactive=true")).json()["items"]] == [False]
    back = await made(api, name="Back", mode="supervisor", agents=[{"agent_id": "cid", "role": "leader"}])
    assert (back["name"], back["mode"], back["is_active"], seats(back)) == ("Back", "supervisor", True, [("cid", "leader", 0)])


async def test_a_member_whose_agent_was_deleted_is_shown_so_and_can_be_removed(api: httpx.AsyncClient) -> None:
    await made(api)
    await api.delete("/v2/agents/bob")
    assert [member["agent_is_active"] for member in (await api.get("/v2/teams/desk/members")).json()["items"]] == [True, False]
    problem(await api.patch("/v2/teams/desk/members/bob", json={"role": "x"}), 422, "team-agent-unknown")
    assert (await api.patch("/v2/teams/desk/members/ann", json={"order_index": 9})).status_code == 200
    assert (await api.delete("/v2/teams/desk/members/bob")).status_code == 204


async def test_an_agent_that_is_deleted_while_it_becomes_a_member_is_either_seen_or_refused(
    api: httpx.AsyncClient, teams: TeamService, agents: AgentService
) -> None:
    await made(api, agents=[])
    for _ in range(5):
        added, deleted = await at_once(
            lambda: teams.put_member(CALLER, "desk", "cid", MemberPut()), lambda: agents.delete_agent(CALLER, "cid")
        )
        assert deleted is None
        assert isinstance(added, tuple) or added.code == "team-agent-unknown"
        await api.delete("/v2/teams/desk/members/cid")
        again = {"id": "cid", "name": "Cid", "template": "Help.", "config": {"model": "scripted:echo"}}
        assert (await api.post("/v2/agents", json=again)).status_code == 201


async def test_teams_are_found_by_mode_member_and_text(api: httpx.AsyncClient) -> None:
    await made(api)
    await made(api, id="night", name="Night 50%", mode="supervisor", agents=[{"agent_id": "cid"}])

    async def found(query: str) -> list[str]:
        return [team["id"] for team in (await api.get(f"/v2/teams?{query}")).json()["items"]]

    assert await found("mode=supervisor") == ["night"]
    assert await found("agent_id=bob") == ["desk"]
    assert await found("q=NIGHT") == ["night"]
    assert await found("q=%25") == ["night"]
    first = (await api.get("/v2/teams?limit=1")).json()
    assert await found(f"limit=1&cursor={first['next_cursor']}") == ["night"]


async def test_each_change_is_in_the_audit_log_and_none_is_not(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api)
    await api.patch("/v2/teams/desk", json={"name": "Other"})
    await api.patch("/v2/teams/desk", json={"name": "Other"})
    await api.put("/v2/teams/desk/members/cid", json={"role": "critic"})
    await api.put("/v2/teams/desk/members/cid", json={"role": "critic"})
    await api.delete("/v2/teams/desk/members/cid")
    await api.delete("/v2/teams/desk")
    await made(api)
    rows = await owner.fetch("SELECT action, object_id FROM audit_log WHERE object_type = 'team' ORDER BY id")
    actions = ["team.created", "team.updated", "team.updated", "team.updated", "team.deleted", "team.restored"]
    assert [(row["action"], row["object_id"]) for row in rows] == [(action, "desk") for action in actions]


def _bob(role: str, order: int) -> list[dict[str, Any]]:
    return [{"agent_id": "bob", "role": role, "order_index": order}]
