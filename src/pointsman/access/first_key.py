"""The admin key that nobody with a key can make: made once on the gateway's host, kept in a file, replaced on request."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from pointsman.access import queries
from pointsman.access.key_file import KeyFile
from pointsman.access.keys import digest, hint, new_key
from pointsman.access.rows import NewKey
from pointsman.audit.service import record
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import notify
from pointsman.kit.principal import ADMIN

_NAME = "admin"
_ACTOR = "bootstrap"


class FirstKey(NamedTuple):
    """What came of it: the key if it was made just now, else None, because a working admin key was there already."""

    path: Path
    api_key: str | None

    @property
    def made(self) -> bool:
        """Whether the file was written just now."""
        return self.api_key is not None


async def bootstrap_admin(db: Database, path: Path, *, rotate: bool = False) -> FirstKey:
    """Leave exactly one admin operator key made here, and its plaintext in the 0600 file `path`.

    Without `rotate` nothing happens where a working admin operator key exists. With it a new key takes over, and the ones made
    here before are revoked at once: whoever rotates from the host has lost the old key or no longer trusts it.
    Raises KeyFileUnusable, before anything is changed.

    The order is: stage the key beside the file, commit, rename. Were the commit first, a crash would leave an admin key that nobody
    knows. Were the file itself first, a crash would leave a file whose key opens nothing, in place of one that did. So: a crash
    before the commit leaves a staged key that no row knows, which the next call discards; a crash after it leaves a staged key that
    a row knows, which the next call publishes. Either way there is one admin key and its plaintext is on disk.
    """
    file = KeyFile(path)
    async with db.transaction() as connection:
        await queries.lock_changes(connection)
        recovered = await _recovered(connection, file)
        api_key = None if recovered else await _made(connection, file, rotate=rotate)
    made = recovered or api_key
    return FirstKey(path, made if made and file.publish(made) else None)


async def _recovered(connection: Connection, file: KeyFile) -> str | None:
    """The key of a call that died between its commit and its rename, if it still is the one that counts."""
    staged = file.find_staged()
    if staged is None:
        return None
    stored = await queries.find_by_hash(connection, digest(staged))
    working = [admin.key.id for admin in await queries.list_admin_keys(connection)]
    if stored is not None and stored.key.id in working:
        return staged
    file.discard_staged()
    return None


async def _made(connection: Connection, file: KeyFile, *, rotate: bool) -> str | None:
    if not rotate and await queries.list_admin_keys(connection):
        return None
    present = file.find_key()
    # A key in the file that no database row knows was this gateway's before its database was made anew: it goes on working.
    adopted = present is not None and not rotate and await queries.find_by_hash(connection, digest(present)) is None
    api_key = present if present is not None and adopted else new_key()
    file.stage(api_key)
    await _replace(connection, api_key)
    return api_key


async def _replace(connection: Connection, api_key: str) -> None:
    before = await queries.list_bootstrapped(connection)
    key = NewKey(digest(api_key), _NAME, owner_id=None, scopes=[ADMIN], rate_limit=0, expires_at=None)
    stored = await queries.add_key(connection, key, family_id=None, made_by=None, shown=hint(api_key))
    for old in before:
        await queries.update_key(connection, msgspec.structs.replace(old, is_active=False))
        detail = {"name": old.name, "replaced_by": stored.key.id}
        await record(connection, None, "key.revoked", "key", str(old.id), detail, actor=_ACTOR)
        await notify(connection, "keys", old.id)
    detail = {"replaces": [old.id for old in before]}
    await record(connection, None, "key.bootstrapped", "key", str(stored.key.id), detail, actor=_ACTOR)
    await notify(connection, "keys", stored.key.id)
