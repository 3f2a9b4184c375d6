"""A tenant's knowledge as an agent may search it: the company's files, and those of projects in its collections."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.kit.db import Database
from pointsman.knowledge import queries
from pointsman.knowledge.queries import Sought
from pointsman.knowledge.schemas import Passage
from pointsman.knowledge.tenants import within_tenant

USUAL = 8
MOST = 20


class Library:
    """Bound to the tenant of a run: what the model says cannot widen it."""

    def __init__(self, db: Database, tenant: str, collections: Sequence[str] = (), most: int = USUAL) -> None:
        """Make one; `most` is how many passages a search gives."""
        self._db = db
        self._tenant = tenant
        self._collections = tuple(collections)
        self._most = most

    async def search(self, query: str) -> list[Passage]:
        """Passages, best first. Raises Unavailable."""
        sought = Sought(query, self._most, self._collections, agents=True)
        async with within_tenant(self._db, self._tenant) as connection:
            return [Passage.of(row) for row in await queries.search(connection, self._tenant, sought)]
