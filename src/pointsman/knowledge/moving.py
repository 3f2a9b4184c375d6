"""Where the files of knowledge lie by the database's word: what a backup has to hold, and how a restore into another place tells it."""

from __future__ import annotations

from pointsman.kit.db import Connection

_REFERRED = "SELECT gcs_path FROM knowledge_entries WHERE gcs_path IS NOT NULL"
_MOVE = """
UPDATE knowledge_entries SET gcs_path = $2::text || substr(gcs_path, length($1::text) + 1) WHERE starts_with(gcs_path, $1::text || '/')
"""
# Of what nobody refers to nothing was taken along, so that there is nothing to clear in the new place.
_FORGET = "DELETE FROM knowledge_leftovers WHERE starts_with(uri, $1::text || '/')"


async def referred_uris(connection: Connection) -> set[str]:
    """The URIs of all tenants' files; the connection is the owner's."""
    return {row["gcs_path"] for row in await connection.fetch(_REFERRED)}


async def move_store(connection: Connection, before: str, after: str) -> None:
    """All files below the URI `before` lie below `after` now."""
    async with connection.transaction():
        await connection.execute(_MOVE, before, after)
        await connection.execute(_FORGET, before)
