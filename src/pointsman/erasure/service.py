"""Exporting and erasing: the verbs. The maintenance loop does the erasing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta

import msgspec

from pointsman.access import disposal as access
from pointsman.audit.service import record
from pointsman.erasure import exporting, queries
from pointsman.erasure.erasing import subject
from pointsman.erasure.errors import DataInUse, ErasureForbidden, ErasureNotFound, ExportRequired
from pointsman.erasure.schemas import ErasureRead
from pointsman.jobs import disposal as jobs
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.knowledge.tenants import within_tenant

_EXPORT_VALID = timedelta(days=7)
_HINT = "It stands in the last line of the export. Or add without_export=true."


class ErasureService:
    """What a user or a tenant left, handed out and taken away."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def export_user(self, principal: Principal, user_id: str) -> AsyncGenerator[bytes]:
        """Lines of JSON, the last of which holds the `export_id`."""
        return self._export(principal.tenant_key, user_id)

    def export_tenant(self, principal: Principal, tenant: str) -> AsyncGenerator[bytes]:
        """The same for all of a tenant. Raises ErasureForbidden."""
        _require_operator(principal)
        return self._export(tenant, None)

    async def erase_user(self, principal: Principal, user_id: str, *, export_id: str | None, without_export: bool) -> ErasureRead:
        """Begin, or say how far it is. Raises ExportRequired, DataInUse."""
        return await self._erase(principal, principal.tenant_key, user_id, export_id, without_export=without_export)

    async def erase_tenant(self, principal: Principal, tenant: str, *, export_id: str | None, without_export: bool) -> ErasureRead:
        """The same; the tenant's keys are revoked at once. Raises ErasureForbidden, ExportRequired, DataInUse."""
        _require_operator(principal)
        return await self._erase(principal, tenant, None, export_id, without_export=without_export)

    async def require_erasure(self, principal: Principal, erasure_id: str) -> ErasureRead:
        """How far an erasure is."""
        async with self._db.connection() as connection:
            row = await queries.find_erasure(connection, erasure_id, principal.visible_tenant)
        if row is None:
            raise ErasureNotFound(f"No erasure {erasure_id!r}.")
        return _read(row)

    async def _export(self, tenant: str, user_id: str | None) -> AsyncGenerator[bytes]:
        counts: dict[str, int] = {}
        for kind, section in exporting.SECTIONS.items():
            async for rows in self._pages(section, tenant, user_id):
                counts[kind] = counts.get(kind, 0) + len(rows)
                yield b"".join(b'{"kind":"%s","data":%s}\n' % (kind.encode(), row["line"].encode()) for row in rows)
        export_id = new_id("exp")
        async with self._db.connection() as connection:
            await queries.insert_export(connection, export_id, tenant, user_id)
        yield msgspec.json.encode({"kind": "end", "export_id": export_id, "counts": counts}) + b"\n"

    async def _pages(self, section: exporting.Section, tenant: str, user_id: str | None) -> AsyncGenerator[list[Record]]:
        """No connection is held while a page is on its way to a reader, however slow."""
        statement, place = section.first, tuple[object, ...]()
        while True:
            async with within_tenant(self._db, tenant) as connection:
                rows = await connection.fetch(statement, tenant, user_id, exporting.ROWS, *place)
            if rows:
                yield rows
            if len(rows) < exporting.ROWS:
                return
            statement, place = section.next, tuple(rows[-1][f"p{number}"] for number in range(1, section.keys + 1))

    async def _erase(
        self, principal: Principal, tenant: str, user_id: str | None, export_id: str | None, *, without_export: bool
    ) -> ErasureRead:
        async with self._db.transaction() as connection:
            running = await queries.find_running(connection, tenant, user_id)
            if running is not None:
                return _read(running)
            if not without_export:
                await _require_export(connection, export_id, tenant, user_id)
            live = await queries.find_live_run(connection, tenant, user_id)
            if live is not None:
                raise DataInUse(f"Run {live} is under way.", hint=f"POST /v2/runs/{live}/cancel, or wait for it.", run_id=live)
            job = await jobs.find_live_job(connection, tenant, user_id)
            if job is not None:
                raise DataInUse(f"Job {job} is under way.", hint=f"POST /v2/jobs/{job}/cancel, or wait for it.", job_id=str(job))
            erasure_id = new_id("era")
            asked = {"erasure_id": erasure_id, "export_id": export_id}
            if await queries.insert_erasure(
                connection, erasure_id=erasure_id, tenant=tenant, user_id=user_id, export_id=export_id, requested_by=principal.key_id
            ):
                for key_id in await access.revoke_keys(connection, tenant) if user_id is None else []:
                    await notify(connection, "keys", key_id)
                await record(connection, principal, "data.erasure_requested", *subject(tenant, user_id), asked, tenant=tenant)
                await queries.wake(connection)
            row = await queries.find_running(connection, tenant, user_id)
            assert row is not None
            return _read(row)


def _require_operator(principal: Principal) -> None:
    if principal.visible_tenant is not None:
        raise ErasureForbidden("This key works in one tenant.", hint="Use an operator key without X-Pointsman-Tenant.")


async def _require_export(connection: Connection, export_id: str | None, tenant: str, user_id: str | None) -> None:
    if export_id is None:
        raise ExportRequired("Give the export_id of an export of this data.", hint=_HINT)
    if not await queries.is_exported(connection, export_id, tenant, user_id, _EXPORT_VALID):
        raise ExportRequired(f"{export_id!r} is no export of this data of the last week.", hint=_HINT)


def _read(row: Record) -> ErasureRead:
    return ErasureRead(
        id=row["id"],
        tenant_id=row["tenant_id"] or None,
        user_id=row["user_id"],
        status=row["status"],
        counts=msgspec.json.decode(row["counts"]),
        requested_at=row["requested_at"],
        completed_at=row["completed_at"],
    )
