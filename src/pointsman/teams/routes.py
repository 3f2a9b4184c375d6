"""Routes of teams; their runs are the chat slice's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from pointsman.teams.rows import Mode
from pointsman.teams.schemas import MemberPatch, MemberPut, MemberRead, TeamCreate, TeamPatch, TeamRead
from pointsman.teams.service import TeamService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

Teams = Annotated[TeamService, Depends(provided(TeamService))]
Search = Annotated[str | None, Query(max_length=255, description="Text in the id, name or description, in any case.")]
WithAgent = Annotated[str | None, Query(max_length=255, description="Only teams with this member.")]
InMode = Annotated[Mode | None, Query(description="Only of this mode.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]

router = APIRouter(tags=["teams"])

_ADDED: dict[int | str, dict[str, Any]] = {201: {"model": MemberRead, "headers": LOCATION}}


@router.post("/v2/teams", status_code=201, response_model=TeamRead, responses={201: {"headers": LOCATION}})
async def create_team(body: TeamCreate, teams: Teams, caller: Caller, response: Response) -> object:
    """Make a team, with its members or without; a deleted one comes back as now described."""
    staffed = await teams.create_team(caller, body)
    response.headers["Location"] = f"/v2/teams/{staffed.team.id}"
    return TeamRead.of(staffed)


@router.get("/v2/teams", response_model=Page[TeamRead])
async def list_teams(
    teams: Teams,
    mode: InMode = None,
    agent_id: WithAgent = None,
    q: Search = None,
    include_inactive: IncludeInactive = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> object:
    """List teams by id."""
    return await teams.list_teams(mode=mode, agent_id=agent_id, q=q, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/teams/{team_id}", response_model=TeamRead)
async def get_team(team_id: str, teams: Teams) -> object:
    """Read a team with its members."""
    return TeamRead.of(await teams.require_team(team_id))


@router.patch("/v2/teams/{team_id}", response_model=TeamRead)
async def update_team(team_id: str, body: TeamPatch, teams: Teams, caller: Caller) -> object:
    """Change a team; `agents` replaces all its members."""
    return TeamRead.of(await teams.update_team(caller, team_id, body))


@router.delete("/v2/teams/{team_id}", status_code=204)
async def delete_team(team_id: str, teams: Teams, caller: Caller) -> None:
    """Delete a team; its agents stay."""
    await teams.delete_team(caller, team_id)


@router.get("/v2/teams/{team_id}/members", response_model=Page[MemberRead])
async def list_members(team_id: str, teams: Teams) -> object:
    """List a team's members in their order."""
    staffed = await teams.require_team(team_id)
    return Page(items=[MemberRead.of(member) for member in staffed.members], next_cursor=None)


@router.get("/v2/teams/{team_id}/members/{agent_id}", response_model=MemberRead)
async def get_member(team_id: str, agent_id: str, teams: Teams) -> object:
    """Read a membership."""
    return MemberRead.of(await teams.require_member(team_id, agent_id))


@router.put(
    "/v2/teams/{team_id}/members/{agent_id}", response_model=MemberRead, responses={201: {"model": MemberRead, "headers": LOCATION}}
)
async def put_member(team_id: str, agent_id: str, body: MemberPut, teams: Teams, caller: Caller, response: Response) -> object:
    """Add an agent to a team (201), or change its role and order (200)."""
    member, new = await teams.put_member(caller, team_id, agent_id, body)
    if new:
        response.status_code = 201
        response.headers["Location"] = f"/v2/teams/{team_id}/members/{agent_id}"
    return MemberRead.of(member)


@router.patch("/v2/teams/{team_id}/members/{agent_id}", response_model=MemberRead)
async def update_member(team_id: str, agent_id: str, body: MemberPatch, teams: Teams, caller: Caller) -> object:
    """Change a member's role or order."""
    return MemberRead.of(await teams.update_member(caller, team_id, agent_id, body))


@router.delete("/v2/teams/{team_id}/members/{agent_id}", status_code=204)
async def remove_member(team_id: str, agent_id: str, teams: Teams, caller: Caller) -> None:
    """Remove an agent from a team; the agent stays."""
    await teams.remove_member(caller, team_id, agent_id)
