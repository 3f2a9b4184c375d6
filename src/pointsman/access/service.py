"""The verbs of API keys: make, list, edit, rotate, revoke; who may do it to which key, and what nobody may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from pointsman.access import queries
from pointsman.access.errors import (
    KeyNotFound,
    KeyNotRotatable,
    KeyRevoked,
    KeyWidensItself,
    LastAdminKey,
    OwnerForbidden,
    ScopesExceeded,
    Unauthenticated,
)
from pointsman.access.first_key import FirstKey, bootstrap_admin
from pointsman.access.keys import digest, hint, new_key
from pointsman.access.rows import ApiKey, NewKey, StoredKey
from pointsman.access.schemas import KeyCreate, KeyPatch, KeyRead
from pointsman.access.scopes import beyond
from pointsman.audit.service import record
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import notify
from pointsman.kit.principal import ADMIN, Principal
from pointsman.web.paging import Page, decode_cursor, page_of

_KeyId = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]


class IssuedKey(NamedTuple):
    """A new key and its plaintext, which exists nowhere else."""

    stored: StoredKey
    api_key: str


class RotatedKey(NamedTuple):
    """The successor, its plaintext, and when its predecessor ceases to work."""

    stored: StoredKey
    api_key: str
    old_key_expires_at: dt.datetime


class KeyService:
    """Keys as their managers see them; `Authenticator` is how the door sees them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, principal: Principal, body: KeyCreate) -> IssuedKey:
        """Make a key within the maker's scopes and tenant. Raises ScopesExceeded or OwnerForbidden."""
        owner = _owner(principal, body)
        api_key = new_key()
        async with self._db.transaction() as connection:
            maker = await _require_maker(connection, principal)
            _require_within(body.scopes, maker)
            key = NewKey(digest(api_key), body.name, owner, body.scopes, body.rate_limit, body.expires_at)
            stored = await queries.add_key(connection, key, family_id=None, made_by=maker.id, shown=hint(api_key))
            await _changed(connection, principal, "key.created", stored.key, _summary(stored.key))
        return IssuedKey(stored, api_key)

    async def list_keys(
        self, principal: Principal, *, owner: str | None = None, active: bool | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[KeyRead]:
        """The keys of the visible tenant, newest first; an empty `owner` asks for operator keys."""
        after = decode_cursor(cursor, _KeyId)
        async with self._db.connection() as connection:
            rows = await queries.list_keys(
                connection, principal.visible_tenant, owner=owner, active=active, before_id=after[0] if after else None, limit=limit + 1
            )
        return page_of(rows, limit, KeyRead.of, lambda stored: (stored.key.id,))

    async def require_key(self, principal: Principal, key_id: int) -> StoredKey:
        """The key, revoked ones too. Raises KeyNotFound."""
        async with self._db.connection() as connection:
            return await _require_visible(connection, principal, key_id)

    async def require_own(self, principal: Principal) -> StoredKey:
        """The calling key itself, in whatever tenant it works."""
        async with self._db.connection() as connection:
            stored = await queries.find_key(connection, principal.key_id, None)
        if stored is None:
            raise Unauthenticated
        return stored

    async def update(self, principal: Principal, key_id: int, body: KeyPatch) -> StoredKey:
        """Change what the body names. Raises ScopesExceeded, KeyWidensItself, KeyRevoked or LastAdminKey."""
        changes = body.model_dump(include=body.model_fields_set)
        async with self._db.transaction() as connection:
            maker = await _require_maker(connection, principal)
            stored = await _require_visible(connection, principal, key_id)
            key = stored.key
            if not key.is_active:
                raise KeyRevoked(f"Key {key.id} was revoked.", hint="Make a new key.")
            if maker.id == key.id:
                _require_narrower(key, changes)
            scopes = changes.get("scopes", key.scopes)
            _require_within(set(scopes) - set(key.scopes), maker)
            if ADMIN not in scopes:
                await _require_other_admin(connection, key)
            was = {name: getattr(key, name) for name in changes}
            key = await queries.update_key(connection, msgspec.structs.replace(key, **changes))
            await _changed(connection, principal, "key.updated", key, {"from": _plain(was), "to": _plain(changes)})
        return stored._replace(key=key)

    async def delete(self, principal: Principal, key_id: int) -> None:
        """Revoke the key for good; again is fine. Raises LastAdminKey."""
        async with self._db.transaction() as connection:
            await _require_maker(connection, principal)
            key = (await _require_visible(connection, principal, key_id)).key
            if not key.is_active:
                return
            await _require_other_admin(connection, key)
            await queries.update_key(connection, msgspec.structs.replace(key, is_active=False))
            await _changed(connection, principal, "key.revoked", key, {"name": key.name})

    async def rotate(self, principal: Principal, key_id: int, overlap: timedelta) -> RotatedKey:
        """Make the key's successor; the old one works until the overlap ends. Raises KeyNotRotatable or ScopesExceeded.

        The successor has the same name, owner, scopes, limit and expiry, and shares the hourly window.
        """
        api_key = new_key()
        async with self._db.transaction() as connection:
            maker = await _require_maker(connection, principal)
            old = await _require_visible(connection, principal, key_id)
            _require_within(old.key.scopes, maker)
            await _require_rotatable(connection, old)
            stored = await _add_successor(connection, old, maker, api_key)
            ends_at = await queries.database_now(connection) + overlap
            ends_at = min(ends_at, old.key.expires_at or ends_at)
            await queries.update_key(connection, msgspec.structs.replace(old.key, expires_at=ends_at))
            detail: dict[str, object] = {"rotated_from": old.key.id, "old_key_expires_at": ends_at.isoformat()}
            await notify(connection, "keys", old.key.id)
            await _changed(connection, principal, "key.rotated", stored.key, detail)
        return RotatedKey(stored, api_key, ends_at)

    async def bootstrap_admin(self, path: Path, *, rotate: bool = False) -> FirstKey:
        """See `first_key.bootstrap_admin`: the first admin operator key, made once, in a file."""
        return await bootstrap_admin(self._db, path, rotate=rotate)


def _owner(principal: Principal, body: KeyCreate) -> str | None:
    """The new key's tenant. Only a caller that is bound to no tenant may choose, and only then can it be none."""
    bound = principal.visible_tenant
    if bound is None or "owner_id" not in body.model_fields_set:
        return body.owner_id if bound is None else bound
    if body.owner_id != bound:
        raise OwnerForbidden("Another owner takes an operator key that works in no tenant.", hint="Leave owner_id out.")
    return bound


async def _require_maker(connection: Connection, principal: Principal) -> ApiKey:
    """The caller's row as it is now, with all changes of keys locked.

    The door may have known this key for most of a second; what it hands out here would outlive its own revocation.
    """
    await queries.lock_changes(connection)
    maker = await queries.find_working_key(connection, principal.key_id)
    if maker is None:
        raise Unauthenticated("The calling key has just been revoked or has expired.")
    return maker


async def _require_visible(connection: Connection, principal: Principal, key_id: int) -> StoredKey:
    stored = await queries.find_key(connection, key_id, principal.visible_tenant)
    if stored is None:
        raise KeyNotFound(key_id)
    return stored


def _require_within(scopes: Iterable[str], maker: ApiKey) -> None:
    if too_much := beyond(scopes, maker.scopes):
        raise ScopesExceeded(
            f"The calling key does not hold {', '.join(too_much)}.", hint="GET /v2/whoami shows what it holds.", scopes=too_much
        )


def _require_narrower(key: ApiKey, changes: dict[str, object]) -> None:
    limit, expiry = changes.get("rate_limit", key.rate_limit), changes.get("expires_at", key.expires_at)
    assert isinstance(limit, int)
    if key.rate_limit and (limit == 0 or limit > key.rate_limit):
        raise KeyWidensItself("A key cannot raise its own rate_limit.", hint="Use another key with keys:write.")
    if key.expires_at is not None and (not isinstance(expiry, dt.datetime) or expiry > key.expires_at):
        raise KeyWidensItself("A key cannot prolong its own life.", hint="Use another key with keys:write.")


async def _require_other_admin(connection: Connection, key: ApiKey) -> None:
    """Refuse to give up `key` where it is the last operator key with `admin` that works."""
    if [admin.key.id for admin in await queries.list_admin_keys(connection)] == [key.id]:
        raise LastAdminKey(
            f"Key {key.id} is the only working operator key with the scope admin.",
            hint="Make another one first, or run `pointsman keys bootstrap --rotate` on the gateway's host.",
        )


async def _require_rotatable(connection: Connection, old: StoredKey) -> None:
    successor = await queries.find_successor(connection, old)
    if successor is not None:
        raise KeyNotRotatable(f"Key {old.key.id} was already rotated into key {successor}.", hint=f"Rotate key {successor}.")
    if await queries.find_working_key(connection, old.key.id) is None:
        raise KeyNotRotatable(f"Key {old.key.id} is revoked or has expired.", hint="Make a new key.")


async def _add_successor(connection: Connection, old: StoredKey, maker: ApiKey, api_key: str) -> StoredKey:
    kept = old.key
    key = NewKey(digest(api_key), kept.name, kept.owner_id, kept.scopes, kept.rate_limit, kept.expires_at)
    return await queries.add_key(connection, key, family_id=old.family_id, made_by=maker.id, shown=hint(api_key))


async def _changed(connection: Connection, principal: Principal, action: str, key: ApiKey, detail: dict[str, object]) -> None:
    await record(connection, principal, action, "key", str(key.id), detail, tenant=key.owner_id or "")
    await notify(connection, "keys", key.id)


def _summary(key: ApiKey) -> dict[str, object]:
    return _plain({name: getattr(key, name) for name in ("name", "owner_id", "scopes", "rate_limit", "expires_at")})


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in values.items()}
