"""Vectors of a tenant's files and queries: counted, within its budgets, and made only where the database can keep them."""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from pointsman.kit.db import Database
from pointsman.knowledge import queries
from pointsman.knowledge.accounts import Account
from pointsman.knowledge.chunking import Chunk
from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.embedding.port import Embedding as MadeVectors
from pointsman.llm.embedding.port import Vector
from pointsman.llm.errors import ModelProblem
from pointsman.llm.port import Spend

_KEPT = 512
_KEPT_SECONDS = 300.0
_LOOK_AGAIN = 30.0  # seconds after which a database without pgvector may have got it


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of a file's chunks, in their order, and by which embedder."""

    embedder: str
    vectors: list[Vector]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The vector of a query, and what is to be recorded for it."""

    vector: Sequence[float]
    spent: Sequence[Spend]


class Embedding:
    """What makes vectors, if anything does."""

    def __init__(self, db: Database, embedder: Embedder | None) -> None:
        self._db = db
        self._embedder = embedder
        self._can_be_kept = False
        self._looked_at = float("-inf")
        self._recent = _Recent()

    @property
    def is_configured(self) -> bool:
        """Whether the settings name an embedder."""
        return self._embedder is not None

    async def find(self) -> Embedder | None:
        """The embedder, if there is one and the database can keep its vectors. Raises Unavailable."""
        if self._embedder is None or self._can_be_kept:
            return self._embedder
        if time.monotonic() - self._looked_at > _LOOK_AGAIN:
            async with self._db.connection() as connection:
                self._can_be_kept = await queries.can_keep_vectors(connection)
            self._looked_at = time.monotonic()
        return self._embedder if self._can_be_kept else None

    async def of_chunks(self, chunks: Sequence[Chunk], account: Account) -> Embedded | None:
        """Batch by batch, each counted before the next. Raises a `ModelProblem`, Unavailable."""
        embedder = await self.find()
        if embedder is None:
            return None
        texts = [chunk.content if chunk.heading is None else f"{chunk.heading}\n{chunk.content}" for chunk in chunks]
        vectors: list[Vector] = []
        for batch in embedder.batches(texts):
            made = await _asked(embedder, batch, account)
            await account.record(made.spent)
            vectors += made.vectors
        return Embedded(embedder.identity, vectors)

    async def of_query(self, embedder: Embedder, tenant: str, query: str, account: Account) -> QueryVector:
        """The vector of what is looked for, which costs nothing where the tenant has just asked; whoever gets it records what it cost.

        Raises a `ModelProblem`, Unavailable.
        """
        kept = self._recent.find(tenant, query)
        if kept is not None:
            return QueryVector(kept, ())
        made = await _asked(embedder, [query], account, query=True)
        return QueryVector(self._recent.keep(tenant, query, made.vectors[0]), made.spent)


class _Recent:
    """Vectors of recent queries, for a while; each tenant's apart, or how quick an answer comes would tell what others look for."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[float, array[float]]] = OrderedDict()

    def find(self, tenant: str, query: str) -> array[float] | None:
        kept = self._kept.get((tenant, query))
        if kept is None or time.monotonic() - kept[0] > _KEPT_SECONDS:
            return None
        self._kept.move_to_end((tenant, query))
        return kept[1]

    def keep(self, tenant: str, query: str, vector: Vector) -> array[float]:
        made = array("f", vector)
        self._kept[tenant, query] = (time.monotonic(), made)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made


async def _asked(embedder: Embedder, texts: Sequence[str], account: Account, *, query: bool = False) -> MadeVectors:
    """What was made is the caller's to record; what failed is recorded."""
    await account.hold(embedder.model, texts)
    try:
        return await embedder.embed(texts, query=query)
    except ModelProblem as problem:
        await account.record(problem.spent)
        raise
    except BaseException:
        await account.record([])
        raise
