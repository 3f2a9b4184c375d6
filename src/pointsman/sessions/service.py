"""Sessions and memories: the verbs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pointsman.kit.db import Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.sessions import queries
from pointsman.sessions.errors import MemoryNotFound, SessionBusy, SessionNotFound
from pointsman.sessions.schemas import MemoryCreate, MemoryRead, MemoryUpdate, MessageRead, SessionRead
from pointsman.web.paging import Int4, Page, decode_cursor, page_of


class SessionService:
    """Reads and deletes conversations; turns write them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_sessions(
        self, principal: Principal, *, user_id: str | None, agent_id: str | None, limit: int, cursor: str | None
    ) -> Page[SessionRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, dt.datetime, str, str)
        async with self._db.connection() as connection:
            rows = await queries.list_sessions(
                connection, tenant=principal.visible_tenant, user_id=user_id, agent_id=agent_id, before=before, limit=limit + 1
            )
        return page_of(rows, limit, _session, lambda row: (row["created_at"], row["tenant_id"], row["id"]))

    async def require_session(self, principal: Principal, session_id: str) -> SessionRead:
        """One session of the working tenant."""
        async with self._db.connection() as connection:
            row = await queries.find_session(connection, principal.tenant_key, session_id)
        if row is None:
            raise _no_session(session_id)
        return _session(row)

    async def list_messages(self, principal: Principal, session_id: str, *, limit: int, cursor: str | None) -> Page[MessageRead]:
        """Oldest first, those of unfinished and failed turns included."""
        after: Any = decode_cursor(cursor, int, Int4)
        async with self._db.connection() as connection:
            if await queries.find_session(connection, principal.tenant_key, session_id) is None:
                raise _no_session(session_id)
            rows = await queries.list_messages(connection, tenant=principal.tenant_key, session_id=session_id, after=after, limit=limit + 1)
        return page_of(rows, limit, _message, lambda row: (row["ordinal"], row["position"]))

    async def delete_session(self, principal: Principal, session_id: str) -> None:
        """Truly, with its messages, runs and events. Refused while a turn is running."""
        async with self._db.transaction() as connection:
            # The opening of a run touches this row first, so that no run begins between the look and the deletion.
            await queries.lock_session(connection, principal.tenant_key, session_id)
            live = await queries.lock_live_run(connection, principal.tenant_key, session_id)
            if live is not None:
                raise SessionBusy(f"Run {live} is under way in this session.", hint="Cancel it first, or wait for it.", run_id=live)
            await queries.delete_session(connection, principal.tenant_key, session_id)


class MemoryService:
    """What agents remember about users, open to be read, mended and deleted."""

    def __init__(self, db: Database, *, require_agent: Callable[[str], Awaitable[object]]) -> None:
        """Make one; `require_agent` raises the Problem of an agent that does not exist."""
        self._db = db
        self._require_agent = require_agent

    async def list_memories(
        self, principal: Principal, *, user_id: str | None, agent_id: str | None, limit: int, cursor: str | None
    ) -> Page[MemoryRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, dt.datetime, str)
        async with self._db.connection() as connection:
            rows = await queries.list_memories(
                connection, tenant=principal.visible_tenant, user_id=user_id, agent_id=agent_id, before=before, limit=limit + 1
            )
        return page_of(rows, limit, _memory, lambda row: (row["created_at"], row["id"]))

    async def require_memory(self, principal: Principal, memory_id: str) -> MemoryRead:
        async with self._db.connection() as connection:
            row = await queries.find_memory(connection, memory_id, principal.visible_tenant)
        return _memory(_found(row, memory_id))

    async def create(self, principal: Principal, body: MemoryCreate) -> MemoryRead:
        """A memory told by a program rather than by the model. Raises the Problem of an agent that does not exist."""
        await self._require_agent(body.agent_id)
        async with self._db.connection() as connection:
            row = await queries.insert_memory(
                connection,
                memory_id=new_id("mem"),
                tenant=principal.tenant_key,
                user_id=body.user_id,
                agent_id=body.agent_id,
                content=body.content,
                run_id=None,
            )
        assert row is not None
        return _memory(row)

    async def update(self, principal: Principal, memory_id: str, body: MemoryUpdate) -> MemoryRead:
        async with self._db.connection() as connection:
            content = body.content if "content" in body.model_fields_set else None
            row = await queries.update_memory(connection, memory_id, principal.visible_tenant, content)
        return _memory(_found(row, memory_id))

    async def delete(self, principal: Principal, memory_id: str) -> None:
        """Truly; repeatable."""
        async with self._db.connection() as connection:
            await queries.delete_memory(connection, memory_id, principal.visible_tenant)


def _no_session(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"No session {session_id!r}.")


def _found(row: Record | None, memory_id: str) -> Record:
    if row is None:
        raise MemoryNotFound(f"No memory {memory_id!r}.")
    return row


def _session(row: Record) -> SessionRead:
    return SessionRead(
        id=row["id"],
        tenant_id=row["tenant_id"] or None,
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _message(row: Record) -> MessageRead:
    parts: list[dict[str, Any]] = msgspec.json.decode(row["content"])["parts"]
    for part in parts:
        if part["type"] == "file":
            data: str = part.pop("data")
            part["size"] = len(data) * 3 // 4 - data[-2:].count("=")
    return MessageRead(
        run_id=row["run_id"],
        position=row["position"],
        role=row["role"],
        agent_id=row["subject"],
        run_status=row["status"],
        text="".join(part["text"] for part in parts if part["type"] == "text"),
        parts=parts,
        created_at=row["created_at"],
    )


def _memory(row: Record) -> MemoryRead:
    return MemoryRead(
        id=row["id"],
        tenant_id=row["tenant_id"] or None,
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        content=row["content"],
        run_id=row["run_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
