"""A tenant's knowledge as an agent may search it: the company's files, and those of projects in its collections."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.knowledge.finding import Sought
from pointsman.knowledge.schemas import Passage
from pointsman.knowledge.searching import Asker, Searcher

USUAL = 8
MOST = 20


class Library:
    """Bound to the tenant of a run: what the model says cannot widen it."""

    def __init__(self, searcher: Searcher, asker: Asker, collections: Sequence[str] = (), most: int = USUAL) -> None:
        """Make one; `most` is how many passages a search gives."""
        self._searcher = searcher
        self._asker = asker
        self._collections = tuple(collections)
        self._most = most

    async def search(self, query: str) -> list[Passage]:
        """Passages, best first, by words and by vectors where they can be had. Raises Unavailable."""
        return (await self._searcher.search(self._asker, Sought(query, self._most, self._collections, agents=True))).items
