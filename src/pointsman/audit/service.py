"""The verbs of the audit log: record a change within its own transaction, list what one may see, verify the chain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pointsman.audit import queries
from pointsman.audit.chain import Verdict, verify
from pointsman.audit.errors import AuditVerifyForbidden
from pointsman.audit.queries import Filters, NewEntry
from pointsman.audit.schemas import AuditEntryRead
from pointsman.kit import json_text, log
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.kit.scrubbing import scrub
from pointsman.web.paging import Page, decode_cursor, page_of

SYSTEM = "system"
CLI = "cli"


async def record(
    connection: Connection,
    principal: Principal | None,
    action: str,
    object_type: str,
    object_id: str,
    detail: Mapping[str, Any],
    *,
    actor: str = SYSTEM,
    tenant: str | None = None,
) -> None:
    """Add an entry to the caller's transaction: it is there if and only if the change is.

    Without a principal `actor` says who acted. The entry belongs to the tenant that the principal works in, or to `tenant`.
    Secrets do not belong into `detail`; what looks like one is taken out.
    """
    request_id = log.context_value("request_id")
    entry = NewEntry(
        tenant_id=tenant if tenant is not None else principal.tenant_key if principal else "",
        actor_key_id=principal.key_id if principal else None,
        actor=principal.key_name if principal else actor,
        action=action,
        object_type=object_type,
        object_id=object_id,
        detail=json_text.encode(scrub(detail)),
        request_id=str(request_id)[:100] if request_id is not None else None,
    )
    await queries.insert_entry(connection, entry)


class AuditService:
    """Reading the log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_entries(
        self,
        principal: Principal,
        *,
        action: str | None = None,
        object_type: str | None = None,
        object_id: str | None = None,
        key_id: int | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AuditEntryRead]:
        """Newest first; a key that works in a tenant sees that tenant's entries."""
        before = decode_cursor(cursor, queries.EntryId)
        filters = Filters(principal.visible_tenant, action, object_type, object_id, key_id, since, until, before[0] if before else None)
        async with self._db.connection() as connection:
            rows = await queries.list_entries(connection, filters, limit + 1)
        return page_of(rows, limit, AuditEntryRead.of, lambda row: (row.id,))

    async def verify(self, principal: Principal) -> Verdict:
        """Read the whole chain. Raises AuditVerifyForbidden."""
        if principal.visible_tenant is not None:
            raise AuditVerifyForbidden("This key works in one tenant.", hint="Use an operator key without X-Pointsman-Tenant.")
        return await verify(self._db)
