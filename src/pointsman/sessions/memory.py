"""What an agent remembers about a user: recalled by a query before the turn, written by the model within it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pointsman.kit.db import Connection, Database
from pointsman.sessions import queries

MOST_RECALLED = 50
LONGEST = 2000  # characters of one memory


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memories: an agent's about one user of one tenant. Without a user there is nobody to remember."""

    tenant: str
    user_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """One memory as the model sees it."""

    id: str
    content: str


async def recall(connection: Connection, scope: Scope) -> list[Remembered]:
    """The newest memories, oldest first."""
    rows = await queries.recall(connection, tenant=scope.tenant, user_id=scope.user_id, agent_id=scope.agent_id, most=MOST_RECALLED)
    return [Remembered(row["id"], row["content"]) for row in rows]


class MemoryBook:
    """Writes memories for the tool."""

    def __init__(self, db: Database, scope: Scope, run_id: str) -> None:
        self._db = db
        self._scope = scope
        self._run_id = run_id

    async def recall(self) -> list[Remembered]:
        """As they are now, with what this turn has written."""
        async with self._db.connection() as connection:
            return await recall(connection, self._scope)

    async def remember(self, call_id: str, content: str) -> str:
        """Keep a fact; the id comes from the tool call, so that a repeated step after a crash writes nothing twice.

        The content is part of it, because some providers number their calls anew in each answer.
        """
        memory_id = "mem_" + hashlib.sha256(f"{self._run_id}/{call_id}/{content}".encode()).hexdigest()[:22]
        async with self._db.connection() as connection:
            await queries.insert_memory(
                connection,
                memory_id=memory_id,
                tenant=self._scope.tenant,
                user_id=self._scope.user_id,
                agent_id=self._scope.agent_id,
                content=content,
                run_id=self._run_id,
            )
        return memory_id

    async def forget(self, memory_id: str) -> bool:
        """Delete a memory; false when this agent has none of that id about this user."""
        async with self._db.connection() as connection:
            return await queries.forget(
                connection,
                memory_id=memory_id,
                tenant=self._scope.tenant,
                user_id=self._scope.user_id,
                agent_id=self._scope.agent_id,
            )
