"""The verbs of MCP servers, each one transaction; only `inspect_server` talks to one."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.audit.service import record
from pointsman.credentials.using import RunUser
from pointsman.execution.errors import OperatorOnly
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress, EgressRefused
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.kit.scrubbing import scrub_text
from pointsman.tools.mcp import pinning, queries
from pointsman.tools.mcp.calling import Calls
from pointsman.tools.mcp.errors import McpServerExists, McpServerFixed
from pointsman.tools.mcp.rows import PinnedServer, Server
from pointsman.tools.mcp.schemas import McpServerCreate, McpServerPatch, McpServerRead
from pointsman.tools.mcp.servers import Servers, not_found, pin_of, pinned
from pointsman.tools.references import References
from pointsman.web.paging import Page, decode_cursor, page_of


class McpServerService:
    """MCP servers as data. They are the operator's: agents of every tenant may be given their tools."""

    def __init__(self, db: Database, servers: Servers, calls: Calls, references: References, egress: Egress) -> None:
        self._db = db
        self._servers = servers
        self._calls = calls
        self._references = references
        self._egress = egress

    async def create_server(self, principal: Principal, body: McpServerCreate) -> PinnedServer:
        """The new server, of which nothing is approved; a deleted one comes back so.

        Raises McpServerExists, InvalidRequest, OperatorOnly.
        """
        _require_operator(principal)
        self._check(body.url, body.headers)
        server = Server(
            type="http",
            id=body.id,
            name=body.name or body.id,
            description=body.description,
            url=body.url,
            headers=body.headers,
            connect_seconds=body.timeouts.connect_seconds,
            call_seconds=body.timeouts.call_seconds,
        )
        if body.id in self._servers.described:
            raise McpServerExists(f"The settings describe a server {body.id}.", hint="Choose another id.")
        async with self._db.transaction() as connection:
            made, action = await _insert(connection, server)
            await record(connection, principal, action, "mcp_server", made.id, {"url": made.url})
            return PinnedServer(made, await pin_of(connection, made))

    async def list_servers(self, *, include_inactive: bool, limit: int, cursor: str | None) -> Page[McpServerRead]:
        """By id, those of the settings among them."""
        key = decode_cursor(cursor, str)
        after = key[0] if key else ""
        described = self._servers.described
        async with self._db.connection() as connection:
            kept = await queries.list_servers(
                connection, include_inactive=include_inactive, apart_from=list(described), after=after, limit=limit + 1
            )
            both = [*kept, *(server for server in described.values() if server.id > after)]
            found = await pinned(connection, sorted(both, key=lambda server: server.id)[: limit + 1])
        return page_of(found, limit, McpServerRead.of, lambda one: (one.server.id,))

    async def require_server(self, server_id: str) -> PinnedServer:
        """An active server. Raises McpServerNotFound."""
        async with self._db.connection() as connection:
            return await self._read(connection, server_id)

    async def update_server(self, principal: Principal, server_id: str, patch: McpServerPatch) -> PinnedServer:
        """The server as changed. Raises McpServerNotFound, McpServerFixed, InvalidRequest, OperatorOnly."""
        _require_operator(principal)
        self._refuse_described(server_id)
        sent = patch.model_fields_set
        self._check(patch.url if "url" in sent else None, patch.headers)
        async with self._db.transaction() as connection:
            server = await _lock_active(connection, server_id)
            values = {name: value for name, value in _patched(patch).items() if value != getattr(server, name)}
            if values:
                await queries.update_server(connection, msgspec.structs.replace(server, **values))
                await record(connection, principal, "mcp_server.updated", "mcp_server", server_id, {"fields": sorted(values)})
            return await self._read(connection, server_id)

    async def delete_server(self, principal: Principal, server_id: str) -> None:
        """Deleted softly, repeatable; calls of agents that still list it are refused.

        Raises McpServerNotFound, McpServerFixed, OperatorOnly.
        """
        _require_operator(principal)
        self._refuse_described(server_id)
        async with self._db.transaction() as connection:
            server = await queries.lock_server(connection, server_id)
            if server is None:
                raise not_found(server_id)
            if server.is_active:
                await queries.update_server(connection, msgspec.structs.replace(server, is_active=False))
                await record(connection, principal, "mcp_server.deleted", "mcp_server", server_id, {})

    async def inspect_server(self, principal: Principal, server_id: str, user_id: str | None) -> PinnedServer:
        """Ask the server what it offers, and keep what differs from what is approved.

        Raises McpServerNotFound, OperatorOnly and the Problem of a server that does not answer.
        """
        _require_operator(principal)
        server = (await self.require_server(server_id)).server
        tools = await self._calls.look(server, RunUser(principal.tenant_key, user_id, "inspection"))
        async with self._db.transaction() as connection:
            await pinning.see(connection, principal, server, tools)
            return await self._read(connection, server_id)

    async def approve_server(self, principal: Principal, server_id: str, sha256: str) -> PinnedServer:
        """What was proposed under this hash is offered to agents from now on.

        Raises McpServerNotFound, McpNothingProposed, McpProposalMoved, OperatorOnly.
        """
        _require_operator(principal)
        async with self._db.transaction() as connection:
            await pinning.approve(connection, principal, await self._servers.require(connection, server_id), sha256)
            return await self._read(connection, server_id)

    async def _read(self, connection: Connection, server_id: str) -> PinnedServer:
        server = await self._servers.require(connection, server_id)
        return PinnedServer(server, await pin_of(connection, server))

    def _refuse_described(self, server_id: str) -> None:
        if server_id in self._servers.described:
            raise McpServerFixed(
                f"The server {server_id} is described by the settings.",
                hint=f"Change POINTSMAN_MCP__STDIO__{server_id.upper()}__… instead.",
            )

    def _check(self, url: str | None, headers: dict[str, str]) -> None:
        """What can be said without asking anybody: nothing is connected to. Raises InvalidRequest."""
        if url is not None:
            try:
                self._egress.check_url(url)
            except EgressRefused as refused:
                raise InvalidRequest(refused.detail, hint=refused.hint, errors=(FieldError("/url", refused.detail),)) from None
            if scrub_text(url) != url:
                raise InvalidRequest(
                    "The URL holds a secret.", errors=(FieldError("/url", "A secret is named in a header, not written here."),)
                )
        self._references.check_headers(headers, operator=True)


def _patched(patch: McpServerPatch) -> dict[str, Any]:
    """The columns that the patch sends."""
    values = {name: getattr(patch, name) for name in patch.model_fields_set - {"timeouts"}}
    return values | {name: getattr(patch.timeouts, name) for name in patch.timeouts.model_fields_set}


async def _insert(connection: Connection, server: Server) -> tuple[Server, str]:
    made = await queries.insert_server(connection, server)
    if made is not None:
        return made, "mcp_server.created"
    old = await queries.lock_server(connection, server.id)
    if old is None or old.is_active:
        raise McpServerExists(
            f"An active MCP server has the id {server.id}.", hint=f"Choose another id, or change it with PATCH /v2/mcp-servers/{server.id}."
        )
    await queries.forget_pin(connection, ("http", server.id))
    return await queries.update_server(connection, server), "mcp_server.restored"


async def _lock_active(connection: Connection, server_id: str) -> Server:
    server = await queries.lock_server(connection, server_id)
    if server is None or not server.is_active:
        raise not_found(server_id)
    return server


def _require_operator(principal: Principal) -> None:
    if not principal.is_operator:
        raise OperatorOnly("This key belongs to a tenant.", hint="Use a key without owner_id: an operator's.")
