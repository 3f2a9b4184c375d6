"""Routes of sessions and memories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.sessions.schemas import MemoryCreate, MemoryRead, MemoryUpdate, MessageRead, SessionRead
from pointsman.sessions.service import MemoryService, SessionService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["sessions"])

Sessions = Annotated[SessionService, Depends(provided(SessionService))]
Memories = Annotated[MemoryService, Depends(provided(MemoryService))]
Filter = Annotated[str | None, Query(max_length=255)]


@router.get("/v2/sessions")
async def list_sessions(
    sessions: Sessions, caller: Caller, user_id: Filter = None, agent_id: Filter = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[SessionRead]:
    """List sessions, newest first."""
    return await sessions.list_sessions(caller, user_id=user_id, agent_id=agent_id, limit=limit, cursor=cursor)


@router.get("/v2/sessions/{session_id}")
async def read_session(sessions: Sessions, caller: Caller, session_id: str) -> SessionRead:
    """Read a session."""
    return await sessions.require_session(caller, session_id)


@router.get("/v2/sessions/{session_id}/messages")
async def list_messages(sessions: Sessions, caller: Caller, session_id: str, limit: Limit = 50, cursor: Cursor = None) -> Page[MessageRead]:
    """List a session's messages, oldest first."""
    return await sessions.list_messages(caller, session_id, limit=limit, cursor=cursor)


@router.delete("/v2/sessions/{session_id}", status_code=204)
async def delete_session(sessions: Sessions, caller: Caller, session_id: str) -> None:
    """Truly delete a session with its messages, runs and events."""
    await sessions.delete_session(caller, session_id)


@router.get("/v2/memories")
async def list_memories(
    memories: Memories, caller: Caller, user_id: Filter = None, agent_id: Filter = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemoryRead]:
    """List what agents remember about users, newest first."""
    return await memories.list_memories(caller, user_id=user_id, agent_id=agent_id, limit=limit, cursor=cursor)


@router.post("/v2/memories", status_code=201, responses={201: {"headers": LOCATION}})
async def create_memory(memories: Memories, caller: Caller, body: MemoryCreate, response: Response) -> MemoryRead:
    """Tell an agent a fact about a user."""
    memory = await memories.create(caller, body)
    response.headers["Location"] = f"/v2/memories/{memory.id}"
    return memory


@router.get("/v2/memories/{memory_id}")
async def read_memory(memories: Memories, caller: Caller, memory_id: str) -> MemoryRead:
    """Read a memory."""
    return await memories.require_memory(caller, memory_id)


@router.patch("/v2/memories/{memory_id}")
async def update_memory(memories: Memories, caller: Caller, memory_id: str, body: MemoryUpdate) -> MemoryRead:
    """Correct a memory."""
    return await memories.update(caller, memory_id, body)


@router.delete("/v2/memories/{memory_id}", status_code=204)
async def delete_memory(memories: Memories, caller: Caller, memory_id: str) -> None:
    """Truly delete a memory; it is not recalled again."""
    await memories.delete(caller, memory_id)
