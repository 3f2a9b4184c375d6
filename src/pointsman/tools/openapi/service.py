"""The verbs of OpenAPI tools, each one transaction; none of them asks anything of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from pointsman.audit.service import record
from pointsman.execution.errors import OperatorOnly
from pointsman.kit import json_text
from pointsman.kit.clock import utcnow
from pointsman.kit.db import Connection, Database
from pointsman.kit.merge_patch import merge_patch
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, Problem
from pointsman.tools.openapi import queries
from pointsman.tools.openapi.compiling import compile_tools
from pointsman.tools.openapi.documents import Document, read_document, stored_document
from pointsman.tools.openapi.errors import OpenApiToolsExist, OpenApiToolsNotFound
from pointsman.tools.openapi.rows import Compiled, OpenApiTools
from pointsman.tools.openapi.schemas import OpenApiToolsCreate, OpenApiToolsItem, OpenApiToolsPatch
from pointsman.tools.openapi.suggesting import closest
from pointsman.tools.references import References
from pointsman.web.paging import Page, decode_cursor, page_of

_NOT_YET = Compiled("", ())
_CONSIDERED = 1000  # ids among which a suggestion is sought


class Checks(Protocol):
    """The way out, as far as it is needed here."""

    def check_url(self, url: str) -> None:
        """Refuse what can be refused without asking anybody. Raises EgressRefused."""
        ...


class OpenApiToolsService:
    """Registrations as data: the operator's, seen by all."""

    def __init__(self, db: Database, checks: Checks, references: References) -> None:
        self._db = db
        self._checks = checks
        self._references = references

    async def create_tools(self, principal: Principal, body: OpenApiToolsCreate) -> OpenApiTools:
        """The new registration; a deleted one comes back as it is now described.

        Raises OpenApiToolsExist, OpenApiDocumentRefused, EgressRefused, InvalidRequest, OperatorOnly.
        """
        _require_operator(principal)
        document = await asyncio.to_thread(read_document, body.document)
        asked = _asked(body, document)
        tools = await self._compiled(asked, document)
        async with self._db.transaction() as connection:
            stored, action = await queries.insert(connection, tools, document.text), "openapi_tools.created"
            if stored is None:
                old = await queries.lock(connection, body.id)
                if old is None or old.is_active:
                    raise OpenApiToolsExist(
                        f"Active OpenAPI tools have the id {body.id}.",
                        hint=f"Choose another id, or change them with PATCH /v2/openapi-tools/{body.id}.",
                    )
                stored, action = await queries.update(connection, tools, document.text), "openapi_tools.restored"
            await _note(connection, principal, action, stored)
        return stored

    async def require_tools(self, tools_id: str) -> OpenApiTools:
        """An active registration. Raises OpenApiToolsNotFound."""
        async with self._db.connection() as connection:
            return await _require(connection, tools_id)

    async def require_document(self, tools_id: str) -> dict[str, Any]:
        """Its document. Raises OpenApiToolsNotFound."""
        async with self._db.connection() as connection:
            await _require(connection, tools_id)
            text = await queries.find_document(connection, tools_id)
        return json_text.decode(text or "{}")

    async def list_tools(
        self, principal: Principal, *, include_inactive: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[OpenApiToolsItem]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_page(connection, include_inactive=include_inactive, after=key[0] if key else None, limit=limit + 1)
        return page_of(rows, limit, lambda tools: OpenApiToolsItem.of(tools, principal), lambda tools: (tools.id,))

    async def update_tools(self, principal: Principal, tools_id: str, patch: OpenApiToolsPatch) -> OpenApiTools:
        """The registration as changed; calls that are under way end as they began.

        Raises OpenApiToolsNotFound, OpenApiDocumentRefused, EgressRefused, InvalidRequest, OperatorOnly.
        """
        _require_operator(principal)
        sent = {name: getattr(patch, name) for name in patch.model_fields_set}
        document = await asyncio.to_thread(read_document, sent.pop("document")) if "document" in sent else None
        while True:
            base, kept = await self._base(tools_id)
            changed = await self._compiled(_changed(base, sent, document), document or kept)
            async with self._db.transaction() as connection:
                now = await queries.lock(connection, tools_id)
                if now is None or not now.is_active:
                    raise await _not_found(connection, tools_id)
                if now != base:
                    continue  # somebody changed it while the tools were made
                if changed == now:
                    return now
                stored = await queries.update(connection, changed, document.text if document else None)
                fields = sorted(name for name in changed.__struct_fields__ if getattr(changed, name) != getattr(now, name))
                await _note(connection, principal, "openapi_tools.updated", stored, fields=[name for name in fields if name != "compiled"])
                return stored

    async def delete_tools(self, principal: Principal, tools_id: str) -> None:
        """Deleted softly, repeatable. Raises OpenApiToolsNotFound for an id that never was, OperatorOnly."""
        _require_operator(principal)
        async with self._db.transaction() as connection:
            tools = await queries.lock(connection, tools_id)
            if tools is None:
                raise await _not_found(connection, tools_id)
            if tools.is_active:
                await queries.update(connection, msgspec.structs.replace(tools, is_active=False))
                await _note(connection, principal, "openapi_tools.deleted", tools)

    async def _base(self, tools_id: str) -> tuple[OpenApiTools, Document]:
        async with self._db.connection() as connection:
            base = await _require(connection, tools_id)
            text = await queries.find_document(connection, tools_id)
        assert text is not None
        return base, stored_document(text, base.sha256)

    async def _compiled(self, tools: OpenApiTools, document: Document) -> OpenApiTools:
        """With the tools that it comes to. Outside of any transaction: a large document takes a second."""
        self._references.check_headers(tools.headers, operator=True)
        compiled = await asyncio.to_thread(
            compile_tools, document, source_id=tools.id, chosen=tools.operations, server_url=tools.server_url, headers=list(tools.headers)
        )
        try:
            self._checks.check_url(compiled.server_url)
        except Problem as problem:
            problem.errors = problem.errors or (FieldError("/server_url", problem.detail),)
            raise
        return msgspec.structs.replace(tools, compiled=compiled)


def _asked(body: OpenApiToolsCreate, document: Document) -> OpenApiTools:
    now = utcnow()
    return OpenApiTools(
        id=body.id,
        name=body.name,
        sha256=document.sha256,
        server_url=body.server_url,
        operations=tuple(body.operations),
        headers=body.headers,
        timeout_seconds=body.timeout_seconds,
        compiled=_NOT_YET,
        created_at=now,
        updated_at=now,
        is_active=True,
    )


def _changed(base: OpenApiTools, sent: dict[str, Any], document: Document | None) -> OpenApiTools:
    values = dict(sent)
    if "headers" in values:
        values["headers"] = merge_patch(base.headers, values["headers"])
    if "operations" in values:
        values["operations"] = tuple(values["operations"])
    if document is not None:
        values["sha256"] = document.sha256
    return msgspec.structs.replace(base, **values)


async def _require(connection: Connection, tools_id: str) -> OpenApiTools:
    tools = await queries.find(connection, tools_id)
    if tools is None:
        raise await _not_found(connection, tools_id)
    return tools


async def _not_found(connection: Connection, tools_id: str) -> OpenApiToolsNotFound:
    near = closest(tools_id, await queries.list_ids(connection, _CONSIDERED))
    return OpenApiToolsNotFound(f"There are no active OpenAPI tools {tools_id!r}.{near}", hint="GET /v2/openapi-tools lists them.")


def _require_operator(principal: Principal) -> None:
    if not principal.is_operator:
        raise OperatorOnly("This key belongs to a tenant.", hint="Use a key without owner_id: an operator's.")


async def _note(connection: Connection, principal: Principal, action: str, tools: OpenApiTools, **more: Sequence[str]) -> None:
    said: dict[str, Any] = {"sha256": tools.sha256, "host": urlsplit(tools.compiled.server_url).hostname, **more}
    await record(connection, principal, action, "openapi_tools", tools.id, said)
