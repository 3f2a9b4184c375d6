"""The verbs of users' tokens, each one transaction."""

from __future__ import annotations

from typing import Any

from pointsman.audit.service import record
from pointsman.credentials import connection_queries, queries
from pointsman.credentials.errors import TokenNotFound
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import TOPIC, Refresher
from pointsman.credentials.schemas import SECRET_OF, TokenPut, TokenRead, TokenRevealed
from pointsman.credentials.sealing import identity, seal, stored_user, unseal
from pointsman.kit.crypto import KeyRing, SecretUnreadable
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.web.paging import Page, decode_cursor, page_of

_REVOCABLE = {"oauth2"}


class TokenService:
    """Tokens of the users of the caller's tenant."""

    def __init__(self, db: Database, ring: KeyRing, providers: Providers, api: ProviderApi, refresher: Refresher) -> None:
        self._db = db
        self._ring = ring
        self._providers = providers
        self._api = api
        self._refresher = refresher

    async def put_token(self, principal: Principal, user_id: str, integration_key: str, body: TokenPut) -> TokenRead:
        """Store a token, in the place of one that is there. Raises TokenDataInvalid."""
        body.check()
        user = stored_user(principal.tenant_key, user_id)
        async with self._db.transaction() as connection:
            row = await queries.put_token(
                connection,
                user=user,
                integration_key=integration_key,
                provider=body.provider,
                token_type=body.token_type,
                ciphertext=seal(self._ring, body.token_data, identity(user, integration_key, body.provider)),
                scopes=body.scopes,
                expires_at=body.expires_at,
            )
            if body.is_refreshable:
                await connection_queries.establish(connection, row["id"])
            else:
                await connection_queries.forget(connection, row["id"])
            await _note(connection, principal, "token.stored", row)
            await notify(connection, TOPIC, row["id"])
        return TokenRead.of(row)

    async def list_tokens(self, principal: Principal, user_id: str, *, limit: int, cursor: str | None) -> Page[TokenRead]:
        """By integration key."""
        key: Any = decode_cursor(cursor, str)
        user = stored_user(principal.tenant_key, user_id)
        async with self._db.connection() as connection:
            rows = await queries.list_tokens(connection, user, after=key[0] if key else "", limit=limit + 1)
        return page_of(rows, limit, _read, lambda row: (row["integration_key"],))

    async def require_token(self, principal: Principal, user_id: str, integration_key: str) -> TokenRead:
        """An active token. Raises TokenNotFound."""
        async with self._db.connection() as connection:
            return _read(await _require(connection, principal, user_id, integration_key))

    async def refresh_token(self, principal: Principal, user_id: str, integration_key: str) -> TokenRead:
        """As the provider renewed it. Raises TokenNotFound, and what `Refresher.fresh` raises."""
        return TokenRead.of(await self._refresher.fresh(stored_user(principal.tenant_key, user_id), integration_key, force=True))

    async def reveal_token(self, principal: Principal, user_id: str, integration_key: str) -> TokenRevealed:
        """A token that is good, with its secret; that it was told is recorded before it is told.

        Raises TokenNotFound, SecretUnreadable, and what `Refresher.fresh` raises.
        """
        await self._refresher.fresh(stored_user(principal.tenant_key, user_id), integration_key)
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, user_id, integration_key)
            data = unseal(self._ring, row["encrypted_token_data"], identity(row["user_id"], integration_key, row["provider"]))
            await _note(connection, principal, "token.revealed", row)
        return TokenRevealed(**_read(row).model_dump(), token_data=data)

    async def delete_token(self, principal: Principal, user_id: str, integration_key: str) -> None:
        """Have a token revoked where that is possible, and forget it whatever came of that; repeatable."""
        user = stored_user(principal.tenant_key, user_id)
        async with self._db.connection() as connection:
            found = await queries.find_token(connection, user, integration_key)
        revoked = found is not None and await self._revoke(found)
        async with self._db.transaction() as connection:
            row = await queries.empty_token(connection, user, integration_key)
            if row is not None:
                await connection_queries.forget(connection, row["id"])
                await _note(connection, principal, "token.deleted", row, revoked_at_provider=revoked)
                await notify(connection, TOPIC, row["id"])

    async def _revoke(self, row: Record) -> bool:
        provider = self._providers.find(row["provider"])
        if provider is None or row["token_type"] not in _REVOCABLE:
            return False
        try:
            data = unseal(self._ring, row["encrypted_token_data"], identity(row["user_id"], row["integration_key"], row["provider"]))
        except SecretUnreadable:  # what nobody can read can still be forgotten
            return False
        return await self._api.revoke(provider, data.get("refresh_token") or data[SECRET_OF["oauth2"]])


def _read(row: Record) -> TokenRead:
    return TokenRead.of(row, reauth=row["reauth"])


async def _require(connection: Connection, principal: Principal, user_id: str, integration_key: str) -> Record:
    row = await queries.find_token(connection, stored_user(principal.tenant_key, user_id), integration_key)
    if row is None:
        raise TokenNotFound(
            f"User {user_id} has no active token {integration_key}.", hint=f"GET /v2/users/{user_id}/tokens lists those that are there."
        )
    return row


async def _note(connection: Connection, principal: Principal, action: str, row: Record, **detail: Any) -> None:
    said = {"provider": row["provider"], "token_type": row["token_type"], "scopes": list(row["scopes"]), **detail}
    user = row["user_id"].rpartition("/")[2]
    await record(connection, principal, action, "token", f"{user}/{row['integration_key']}", said)
