"""The one way in which a token comes into the database: sealed for its row, refreshable or not, and known to whoever caches."""

from __future__ import annotations

from pointsman.credentials import connection_queries, queries
from pointsman.credentials.refreshing import TOPIC
from pointsman.credentials.schemas import TokenPut
from pointsman.credentials.sealing import identity, seal
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Record
from pointsman.kit.notify import notify


async def store(connection: Connection, ring: KeyRing, user: str, integration_key: str, token: TokenPut) -> Record:
    """The token of a stored user as written, in the place of one that is there; it was checked before."""
    row = await queries.put_token(
        connection,
        user=user,
        integration_key=integration_key,
        provider=token.provider,
        token_type=token.token_type,
        ciphertext=seal(ring, token.token_data, identity(user, integration_key, token.provider)),
        scopes=token.scopes,
        expires_at=token.expires_at,
    )
    if token.is_refreshable:
        await connection_queries.establish(connection, row["id"])
    else:
        await connection_queries.forget(connection, row["id"])
    await notify(connection, TOPIC, row["id"])
    return row
