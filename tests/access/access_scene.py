"""Who manages keys in the tests, and ways to look at what they did."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pointsman.access.authenticate import AuthenticatedKey, Authenticator
from pointsman.access.schemas import KeyCreate
from pointsman.access.service import IssuedKey, KeyService
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal


@dataclass
class Desk:
    """A manager of keys: its principal, its own plaintext, and the service it uses."""

    keys: KeyService
    principal: Principal
    api_key: str

    async def issue(self, *scopes: str, **fields: Any) -> IssuedKey:
        body = KeyCreate.model_validate({"name": "a key", "scopes": scopes or ("agents:run",), **fields})
        return await self.keys.create(self.principal, body)

    async def open(self, *scopes: str, **fields: Any) -> Desk:
        """The desk of somebody to whom this one gives a key."""
        issued = await self.issue(*scopes, **fields)
        key = issued.stored.key
        principal = Principal(key.id, key.name, key.owner_id, frozenset(key.scopes), key.owner_id)
        return Desk(self.keys, principal, issued.api_key)

    def working_in(self, tenant: str) -> Desk:
        """The same operator with `X-Pointsman-Tenant`."""
        mine = self.principal
        return Desk(self.keys, Principal(mine.key_id, mine.key_name, mine.owner_id, mine.scopes, tenant), self.api_key)


async def authenticated(db: Database, api_key: str) -> AuthenticatedKey:
    """What a replica that has never seen the key says of it."""
    return await Authenticator(db, None).authenticate(api_key)


async def principal_of(db: Database, api_key: str) -> Principal:
    key = await authenticated(db, api_key)
    return Principal(key.id, key.name, key.owner_id, key.scopes, key.owner_id)


async def audited(owner: Connection) -> list[tuple[str, str]]:
    """Action and object of every entry in the log of changes."""
    return [(row["action"], row["object_id"]) for row in await owner.fetch("SELECT action, object_id FROM audit_log ORDER BY id")]


async def window_of(owner: Connection, family_id: int) -> int | None:
    return await owner.fetchval("SELECT used FROM rate_windows WHERE family_id = $1", family_id)


class Line:
    """The way from a process to its database, which can be cut, held up and mended."""

    def __init__(self, dsn: str, folder: Path) -> None:
        host = dict(parse_qsl(urlsplit(dsn).query))["host"]
        self._to = f"{host}/.s.PGSQL.5432"
        self._at = folder / ".s.PGSQL.5432"
        self._flows = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.dsn = urlsplit(dsn)._replace(query=urlencode({"host": str(folder)})).geturl()

    async def mend(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_unix_server(self._connected, self._at)

    async def cut(self) -> None:
        """Nobody answers any more, and connections are gone."""
        self._flows.set()
        self._server.close()
        self._at.unlink(missing_ok=True)
        for writer in tuple(self._open):
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in tuple(self._open)), return_exceptions=True)

    def hold(self) -> None:
        """Connections stand, and nothing comes through."""
        self._flows.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_unix_connection(self._to)
        self._open |= {writer, other_writer}
        await asyncio.gather(self._flow(reader, other_writer), self._flow(other_reader, writer))
        self._open -= {writer, other_writer}

    async def _flow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
