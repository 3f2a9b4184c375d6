"""The canary: a ciphertext in the database by which a key ring that does not belong to it is noticed before it does harm."""

from __future__ import annotations

from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database


async def knows_ring(db: Database) -> bool:
    """Whether the database belongs to a ring already."""
    async with db.connection() as connection:
        return await connection.fetchval("SELECT EXISTS (SELECT FROM key_canary)")


async def verify_ring(db: Database, ring: KeyRing) -> None:
    """Check the ring against the database; the first ring that comes is the one. Raises KeyRingWrong."""
    async with db.connection() as connection:
        await connection.execute("INSERT INTO key_canary (id, token) VALUES (1, $1) ON CONFLICT DO NOTHING", ring.canary())
        ring.verify_canary(await connection.fetchval("SELECT token FROM key_canary WHERE id = 1"))
