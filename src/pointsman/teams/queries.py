"""Every statement on the tables of teams; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.kit.db import Connection
from pointsman.teams.rows import Mode, Seat, Staffed, Team

_TEAM = "id, name, description, version, mode, created_at, updated_at, is_active"

_INSERT = f"""
INSERT INTO team_info (id, name, description, version, mode) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING {_TEAM}
"""
_UPDATE = """
UPDATE team_info SET name = $2, description = $3, version = $4, mode = $5, is_active = $6, updated_at = clock_timestamp() WHERE id = $1
"""
_LOCK = f"SELECT {_TEAM} FROM team_info WHERE id = $1 FOR UPDATE"
_STAFFED = f"""
SELECT {_TEAM}, coalesce((
    SELECT json_agg(json_build_object('agent_id', m.agent_id, 'role', m.role, 'order_index', m.order_index, 'name', a.name,
                                      'description', a.description, 'agent_is_active', a.is_active, 'created_at', m.created_at)
                    ORDER BY m.order_index, m.id)
      FROM team_agent m JOIN agent_info a ON a.id = m.agent_id
     WHERE m.team_id = t.id AND m.is_active
), '[]')::text AS members
FROM team_info t
"""
_FIND = f"{_STAFFED} WHERE t.id = $1 AND t.is_active"
# Text is sought as it stands, so that no character of it has a meaning.
_LIST = f"""
{_STAFFED}
 WHERE (t.is_active OR $1::boolean)
   AND ($2::varchar IS NULL OR t.mode = $2)
   AND ($3::varchar IS NULL OR EXISTS (SELECT FROM team_agent m WHERE m.team_id = t.id AND m.agent_id = $3 AND m.is_active))
   AND ($4::text IS NULL OR strpos(lower(t.id), lower($4)) > 0 OR strpos(lower(t.name), lower($4)) > 0
        OR strpos(lower(t.description), lower($4)) > 0)
   AND t.id > $5
 ORDER BY t.id LIMIT $6
"""
_UNSEAT = "UPDATE team_agent SET is_active = false WHERE team_id = $1 AND is_active AND NOT agent_id = ANY($2::varchar[])"
_SEAT = """
INSERT INTO team_agent (team_id, agent_id, role, order_index)
SELECT $1, s.agent_id, s.role, s.order_index FROM unnest($2::varchar[], $3::varchar[], $4::int[]) AS s (agent_id, role, order_index)
ON CONFLICT (team_id, agent_id) WHERE is_active DO UPDATE SET role = excluded.role, order_index = excluded.order_index
"""


async def insert_team(connection: Connection, team_id: str, *, name: str, description: str | None, version: str, mode: Mode) -> Team | None:
    """The new row, or None where the id is taken, also by a deleted team."""
    row = await connection.fetchrow(_INSERT, team_id, name, description, version, mode)
    return Team.of(row) if row else None


async def update_team(connection: Connection, team: Team) -> None:
    """Store the row, which the caller has locked; `updated_at` moves."""
    await connection.execute(_UPDATE, team.id, team.name, team.description, team.version, team.mode, team.is_active)


async def lock_team(connection: Connection, team_id: str) -> Team | None:
    """The row, active or not. Nobody else changes it or its members until the transaction ends."""
    row = await connection.fetchrow(_LOCK, team_id)
    return Team.of(row) if row else None


async def find_team(connection: Connection, team_id: str) -> Staffed | None:
    """An active team with its members."""
    row = await connection.fetchrow(_FIND, team_id)
    return Staffed.of(row) if row else None


async def list_teams(
    connection: Connection, *, mode: Mode | None, agent_id: str | None, q: str | None, include_inactive: bool, after: str | None, limit: int
) -> list[Staffed]:
    """By id; with `agent_id` among the members, with `q` in the id, name or description in any case."""
    rows = await connection.fetch(_LIST, include_inactive, mode, agent_id, q or None, after or "", limit)
    return [Staffed.of(row) for row in rows]


async def put_members(connection: Connection, team_id: str, seats: Sequence[Seat]) -> None:
    """These and no others are the team's members from now on; the caller has locked the team."""
    agents = [seat.agent_id for seat in seats]
    await connection.execute(_UNSEAT, team_id, agents)
    await connection.execute(_SEAT, team_id, agents, [seat.role for seat in seats], [seat.order_index for seat in seats])
