"""The verbs of teams, each one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pointsman.agents import queries as agent_queries
from pointsman.audit.service import record
from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError
from pointsman.teams import queries
from pointsman.teams.errors import TeamAgentUnknown, TeamExists, TeamLeaderTaken, TeamMemberNotFound, TeamNotFound
from pointsman.teams.rows import Member, Mode, Seat, Staffed
from pointsman.teams.schemas import MemberPut, TeamCreate, TeamPatch, TeamRead, seats_of
from pointsman.web.paging import Page, decode_cursor, page_of

Change = Callable[[Staffed], list[Seat]]


class TeamService:
    """Teams as data."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create_team(self, principal: Principal, body: TeamCreate) -> Staffed:
        """The new team; a deleted one comes back as it is now described. Raises TeamExists, TeamAgentUnknown."""
        team_id = body.id or new_id("team")
        columns = {"name": body.name, "description": body.description, "version": body.version, "mode": body.mode}
        seats = seats_of(body.agents)
        async with self._db.transaction() as connection:
            action = await _insert(connection, team_id, columns)
            await _seat(connection, team_id, seats, "/agents/{}/agent_id")
            await record(connection, principal, action, "team", team_id, {"mode": body.mode, "agents": _told(seats)})
            return await _require(connection, team_id)

    async def require_team(self, team_id: str) -> Staffed:
        """An active team with its members. Raises TeamNotFound."""
        async with self._db.connection() as connection:
            return await _require(connection, team_id)

    async def list_teams(
        self,
        *,
        mode: Mode | None = None,
        agent_id: str | None = None,
        q: str | None = None,
        include_inactive: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[TeamRead]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_teams(
                connection,
                mode=mode,
                agent_id=agent_id,
                q=q,
                include_inactive=include_inactive,
                after=key[0] if key else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, TeamRead.of, lambda staffed: (staffed.team.id,))

    async def update_team(self, principal: Principal, team_id: str, patch: TeamPatch) -> Staffed:
        """The team as changed. Raises TeamNotFound, TeamAgentUnknown."""
        async with self._db.transaction() as connection:
            staffed = await _lock_active(connection, team_id)
            values = {name: getattr(patch, name) for name in patch.model_fields_set - {"agents"}}
            values = {name: value for name, value in values.items() if value != getattr(staffed.team, name)}
            seats = seats_of(patch.agents) if "agents" in patch.model_fields_set else staffed.seats
            await _change(connection, principal, staffed, values, seats, "/agents/{}/agent_id")
            return await _require(connection, team_id)

    async def delete_team(self, principal: Principal, team_id: str) -> None:
        """Deleted softly; repeatable. Raises TeamNotFound."""
        async with self._db.transaction() as connection:
            team = await queries.lock_team(connection, team_id)
            if team is None:
                raise not_found(team_id)
            if team.is_active:
                await queries.update_team(connection, msgspec.structs.replace(team, is_active=False))
                await queries.put_members(connection, team_id, ())
                await record(connection, principal, "team.deleted", "team", team_id, {})

    async def require_member(self, team_id: str, agent_id: str) -> Member:
        """One membership. Raises TeamNotFound, TeamMemberNotFound."""
        return _require_member(await self.require_team(team_id), agent_id)

    async def put_member(self, principal: Principal, team_id: str, agent_id: str, body: MemberPut) -> tuple[Member, bool]:
        """The membership, and whether it is new. Raises TeamNotFound, TeamAgentUnknown, TeamLeaderTaken."""

        def added(staffed: Staffed) -> list[Seat]:
            known = staffed.find(agent_id)
            last = max((member.order_index + 1 for member in staffed.members), default=0)
            seat = known.seat if known else Seat(agent_id, None, min(last, 2**31 - 1))
            return [*(one for one in staffed.seats if one.agent_id != agent_id), _changed(seat, body)]

        before, after = await self._reseat(principal, team_id, added, agent_id)
        return _require_member(after, agent_id), before.find(agent_id) is None

    async def update_member(self, principal: Principal, team_id: str, agent_id: str, patch: MemberPut) -> Member:
        """The membership as changed. Raises TeamNotFound, TeamMemberNotFound, TeamAgentUnknown, TeamLeaderTaken."""

        def edited(staffed: Staffed) -> list[Seat]:
            _require_member(staffed, agent_id)
            return [_changed(seat, patch) if seat.agent_id == agent_id else seat for seat in staffed.seats]

        _, after = await self._reseat(principal, team_id, edited, agent_id)
        return _require_member(after, agent_id)

    async def remove_member(self, principal: Principal, team_id: str, agent_id: str) -> None:
        """Repeatable. Raises TeamNotFound."""
        await self._reseat(principal, team_id, lambda staffed: [seat for seat in staffed.seats if seat.agent_id != agent_id], agent_id)

    async def _reseat(self, principal: Principal, team_id: str, change: Change, agent_id: str) -> tuple[Staffed, Staffed]:
        async with self._db.transaction() as connection:
            before = await _lock_active(connection, team_id)
            seats = change(before)
            _require_one_leader(before, seats, agent_id)
            await _change(connection, principal, before, {}, seats, "/path/agent_id")
            return before, await _require(connection, team_id)


def not_found(team_id: str) -> TeamNotFound:
    """The problem for an id that is unknown or deleted."""
    return TeamNotFound(f"There is no active team {team_id}.", hint="GET /v2/teams lists them.")


async def _change(
    connection: Connection, principal: Principal, staffed: Staffed, values: dict[str, Any], seats: Sequence[Seat], pointer: str
) -> None:
    team, detail = staffed.team, dict[str, Any]()
    if sorted(seats) != sorted(staffed.seats):
        await _seat(connection, team.id, seats, pointer, known=staffed.seats)
        detail["agents"] = _told(seats)
    if values or detail:
        await queries.update_team(connection, msgspec.structs.replace(team, **values))
        await record(connection, principal, "team.updated", "team", team.id, {"fields": sorted([*values, *detail]), **detail})


async def _insert(connection: Connection, team_id: str, values: dict[str, Any]) -> str:
    if await queries.insert_team(connection, team_id, **values) is not None:
        return "team.created"
    old = await queries.lock_team(connection, team_id)
    if old is None or old.is_active:
        raise TeamExists(f"An active team has the id {team_id}.", hint=f"Choose another id, or change it with PATCH /v2/teams/{team_id}.")
    await queries.update_team(connection, msgspec.structs.replace(old, **values, is_active=True))
    return "team.restored"


async def _seat(connection: Connection, team_id: str, seats: Sequence[Seat], pointer: str, known: Sequence[Seat] = ()) -> None:
    """Make these the members; those that stay as they were may have been deleted since. Raises TeamAgentUnknown."""
    wanted = [seat.agent_id for seat in seats if seat not in known]
    active = await agent_queries.hold_agents(connection, wanted)
    gone = [(index, seat.agent_id) for index, seat in enumerate(seats) if seat.agent_id in wanted and seat.agent_id not in active]
    if gone:
        raise TeamAgentUnknown(
            f"There is no active agent {', '.join(agent_id for _, agent_id in gone)}.",
            hint="GET /v2/agents lists agents.",
            errors=tuple(FieldError(pointer.format(index), f"There is no active agent {agent_id}.") for index, agent_id in gone),
        )
    await queries.put_members(connection, team_id, seats)


async def _require(connection: Connection, team_id: str) -> Staffed:
    staffed = await queries.find_team(connection, team_id)
    if staffed is None:
        raise not_found(team_id)
    return staffed


async def _lock_active(connection: Connection, team_id: str) -> Staffed:
    # Read after the lock: what another change has just committed is seen.
    await queries.lock_team(connection, team_id)
    return await _require(connection, team_id)


def _require_member(staffed: Staffed, agent_id: str) -> Member:
    member = staffed.find(agent_id)
    if member is None:
        raise TeamMemberNotFound(
            f"The agent {agent_id} is not a member of the team {staffed.team.id}.",
            hint=f"GET /v2/teams/{staffed.team.id}/members lists its members.",
        )
    return member


def _require_one_leader(staffed: Staffed, seats: Sequence[Seat], agent_id: str) -> None:
    leader = staffed.leader
    if leader is not None and leader.agent_id != agent_id and any(seat.agent_id == agent_id and seat.role == leader.role for seat in seats):
        raise TeamLeaderTaken(
            f"The agent {leader.agent_id} leads the team {staffed.team.id}.",
            hint=f'Send {{"role": null}} to PATCH /v2/teams/{staffed.team.id}/members/{leader.agent_id} first.',
        )


def _changed(seat: Seat, body: MemberPut) -> Seat:
    return seat._replace(**{name: getattr(body, name) for name in body.model_fields_set})


def _told(seats: Sequence[Seat]) -> list[dict[str, Any]]:
    return [seat._asdict() for seat in seats]
