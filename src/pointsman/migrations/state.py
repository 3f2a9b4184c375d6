"""Where a database stands, told without Alembic, whose import alone takes a second of every start."""

from __future__ import annotations

from dataclasses import dataclass

from pointsman.kit.db import SERVICE_ROLE, Connection
from pointsman.migrations.errors import DatabaseServerUnsupported

HEAD = "0021"
"""The revision that this release needs."""

_OLDEST_SERVER = 160000

_SERVER = "SELECT current_setting('server_version_num')::int AS number, current_setting('server_encoding') AS encoding"
_ROLE_IS_READY = """
SELECT coalesce((SELECT pg_has_role(r.oid, 'SET') AND has_schema_privilege(r.oid, n.oid, 'USAGE')
                   FROM pg_roles r, pg_namespace n
                  WHERE r.rolname = $1 AND n.nspname = 'prompts'), false)
"""
# Without the extension the schema is whole without the table: search is by text.
_LACKS_VECTORS = "SELECT to_regtype('halfvec') IS NOT NULL AND to_regclass('public.knowledge_vectors') IS NULL"


@dataclass(frozen=True)
class State:
    """The revision, None for an empty database, whether services can act on it, and whether vectors could be kept and are not."""

    revision: str | None
    role_is_ready: bool
    lacks_vectors: bool = False

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do."""
        return self.revision == HEAD and self.role_is_ready and not self.lacks_vectors


async def read_state(connection: Connection) -> State:
    """Read it, on a server that is fit for us."""
    await _require_server(connection)
    ready = await connection.fetchval(_ROLE_IS_READY, SERVICE_ROLE)
    return State(await read_revision(connection), ready, lacks_vectors=await connection.fetchval(_LACKS_VECTORS))


async def read_revision(connection: Connection) -> str | None:
    """The revision of the schema, None if there is none."""
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return None
    return await connection.fetchval("SELECT version_num FROM public.alembic_version")


async def _require_server(connection: Connection) -> None:
    server = await connection.fetchrow(_SERVER)
    assert server is not None
    if server["number"] < _OLDEST_SERVER:
        raise DatabaseServerUnsupported(f"The server is PostgreSQL {server['number'] // 10000}.", hint="Use PostgreSQL 16 or newer.")
    if server["encoding"] != "UTF8":
        raise DatabaseServerUnsupported(
            f"The database stores text as {server['encoding']}.",
            hint="Make it anew: CREATE DATABASE pointsman ENCODING 'UTF8' TEMPLATE template0.",
        )
