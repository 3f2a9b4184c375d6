"""`pointsman teams`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.archives import packed
from pointsman.cli.chat import tell_turn
from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import assign, read_object, read_variables
from pointsman.cli.options import Everything, Json, Most, Search, Variables
from pointsman.cli.output import fields, say, show, show_json, table

app = typer.Typer(
    help="Teams: who leads, who is in them, and what they are asked.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

TeamId = Annotated[str, typer.Argument(help="Id of the team.")]
AgentId = Annotated[str, typer.Argument(help="Id of the agent.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="JSON body, or - for standard input; the other options win over it.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="A field, such as description=null; several times.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name to show.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]
Mode = Annotated[str | None, typer.Option("--mode", help="coordinate or supervisor.")]
Leader = Annotated[str | None, typer.Option("--leader", help="Id of the agent that leads.")]
WithMembers = Annotated[
    list[str] | None,
    typer.Option("--member", "-m", metavar="AGENT[:ROLE]", help="A member and its role; several times, the preferred first."),
]
Role = Annotated[str | None, typer.Option("--role", help="What it is in the team; leader leads.")]
Order = Annotated[int | None, typer.Option("--order", min=0, help="Lower ones are preferred.")]


@app.command("list")
def list_teams(
    *,
    mode: Mode = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only teams with this member.")] = None,
    search: Search = None,
    everything: Everything = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List teams."""
    with connected() as client:
        teams = list(client.teams.list(mode=mode, agent_id=agent, q=search, include_inactive=everything, most=most))
    if as_json:
        show_json(teams)
        return
    rows = [{**team, "members": [_seat(seat) for seat in team["agents"]]} for team in teams]
    table(rows, ["id", "mode", "members", "updated_at", *(["is_active"] if everything else []), "name"])


@app.command("show")
def show_team(team_id: TeamId, *, as_json: Json = False) -> None:
    """Show a team and its members."""
    with connected() as client:
        team = client.teams.read(team_id)
        members = [] if as_json else list(client.teams.members(team_id))
    if as_json:
        show_json(team)
        return
    fields({name: value for name, value in team.items() if name != "agents"})
    table(members, ["order_index", "agent_id", "role", "agent_is_active", "name", "description"])


@app.command("create")
def create_team(
    team_id: Annotated[str | None, typer.Argument(help="Id of the new team; unset: generated, or that of --file.")] = None,
    *,
    file: File = None,
    name: Name = None,
    description: Description = None,
    mode: Mode = None,
    leader: Leader = None,
    members: WithMembers = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Make a team; a deleted one comes back as now described."""
    body = _body(file, assignments, name, description, mode, leader, members)
    if team_id is not None:
        body["id"] = team_id
    if "name" not in body and "id" in body:
        body["name"] = body["id"]
    body.setdefault("mode", "coordinate")
    with connected() as client:
        team = client.teams.create(body)
    show_json(team) if as_json else say(f"made team {team['id']} with {len(team['agents'])} members")


@app.command("edit")
def edit_team(
    team_id: TeamId,
    *,
    file: File = None,
    name: Name = None,
    description: Description = None,
    mode: Mode = None,
    leader: Leader = None,
    members: WithMembers = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Change a team by a JSON merge patch; --leader and --member together replace all its members."""
    patch = _body(file, assignments, name, description, mode, leader, members)
    if not patch:
        raise CommandRefused("Nothing was given to change.", hint="For instance: --name Desk; `pointsman teams add` adds a member.")
    with connected() as client:
        team = client.teams.update(team_id, patch)
    show_json(team) if as_json else say(f"changed team {team_id}")


@app.command("run")
def run_team(
    team_id: TeamId,
    message: Annotated[str | None, typer.Argument(help="What to ask; unset or -: standard input.")] = None,
    *,
    session: Annotated[str | None, typer.Option("--session", "-s", help="Session to go on with, or to begin under this id.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="For whom.")] = None,
    variables: Variables = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", metavar="FOLDER", help="Files that a supervising team's jobs begin with.")
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Do not wait: print the run's id.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")] = False,
) -> None:
    """Ask a team. The answer goes to standard output as it is said; what members and jobs do is told on standard error."""
    given = {"session_id": session, "user_id": user, "variables": read_variables(variables)}
    body: dict[str, Any] = {name: value for name, value in given.items() if value}
    body["message"] = sys.stdin.read() if message in (None, "-") else message
    if workspace is not None:
        body["attachments"] = [packed(workspace)]
    with connected() as client:
        if background:
            show(client.run_team(team_id, body, wait=False)["run_id"])
        else:
            tell_turn(client, client.stream_team(team_id, body), as_json=as_json)


@app.command("add")
def add_member(team_id: TeamId, agent_id: AgentId, *, role: Role = None, order: Order = None, as_json: Json = False) -> None:
    """Add an agent to a team, or change its role and order there."""
    given = {"role": role, "order_index": order}
    with connected() as client:
        member = client.teams.put_member(team_id, agent_id, {name: value for name, value in given.items() if value is not None})
    show_json(member) if as_json else say(f"{agent_id} is in team {team_id}" + (f" as {member['role']}" if member["role"] else ""))


@app.command("remove")
def remove_member(team_id: TeamId, agent_id: AgentId) -> None:
    """Remove an agent from a team; the agent stays."""
    with connected() as client:
        client.teams.remove_member(team_id, agent_id)
    say(f"{agent_id} is not in team {team_id}")


@app.command("delete")
def delete_team(team_id: TeamId) -> None:
    """Delete a team; its agents stay."""
    with connected() as client:
        client.teams.delete(team_id)
    say(f"deleted team {team_id}")


def _body(
    file: Path | None,
    assignments: list[str] | None,
    name: str | None,
    description: str | None,
    mode: str | None,
    leader: str | None,
    members: list[str] | None,
) -> dict[str, Any]:
    body = read_object(file) if file is not None else {}
    given = {"name": name, "description": description, "mode": mode}
    body |= {field: value for field, value in given.items() if value is not None}
    if leader is not None or members:
        lead = [{"agent_id": leader, "role": "leader"}] if leader is not None else []
        body["agents"] = [*lead, *(_member(text) for text in members or ())]
    return assign(body, assignments)


def _member(text: str) -> dict[str, str]:
    agent_id, _, role = text.partition(":")
    return {"agent_id": agent_id, "role": role} if role else {"agent_id": agent_id}


def _seat(seat: Any) -> str:
    return f"{seat['agent_id']}:{seat['role']}" if seat["role"] else str(seat["agent_id"])
