"""Searches a tenant's knowledge: by words and, where there is an embedder, by vectors; what was really done is told with what is found."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.kit.db import Database, Record
from pointsman.knowledge.accounts import Account
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.errors import EmbedderMissing, RerankerMissing
from pointsman.knowledge.finding import Mode, Near, Sought, search
from pointsman.knowledge.reranking import CANDIDATES, Reranker
from pointsman.knowledge.schemas import Found, Passage
from pointsman.knowledge.tenants import within_tenant
from pointsman.llm.errors import ModelProblem
from pointsman.llm.port import Spend

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who searches, and pays: a key, or an agent in a session of a user's."""

    tenant: str
    key_id: int | None
    agent_id: str = ""
    user_id: str | None = None
    session_id: str | None = None

    @property
    def payer(self) -> Payer:
        """As budgets know it."""
        return Payer(self.tenant, self.agent_id, self.user_id, self.key_id)


class Searcher:
    """The search that routes and agents share."""

    def __init__(self, db: Database, budgets: Budgets, embedding: Embedding, reranker: Reranker | None = None) -> None:
        self._db = db
        self._budgets = budgets
        self._embedding = embedding
        self._reranker = reranker

    async def search(self, asker: Asker, sought: Sought, mode: Mode = "hybrid", *, rerank: bool = False) -> Found:
        """Passages of the asker's tenant, best first.

        `hybrid` uses what works, and `mode` and `notice` of what it gives say what that was. Raises EmbedderMissing, RerankerMissing,
        Unavailable, and with `vector` the `ModelProblem` of an embedder that fails.
        """
        if rerank and self._reranker is None:
            raise RerankerMissing("No model that orders passages is configured.", hint="Search without rerank.")
        account = Account(self._db, self._budgets, asker.payer, Account.name_of_search(), session_id=asker.session_id)
        near, spent, notice = (None, (), None) if mode == "text" else await self._near(asker.tenant, sought.query, mode, account)
        done: Mode = "text" if near is None else mode
        wider = replace(sought, most=max(sought.most, CANDIDATES)) if rerank else sought
        rows = await self._counted(self._rows(asker.tenant, wider, near, done), account, spent)
        found = Found(items=[Passage.of(row) for row in rows], mode=done, reranked=False, notice=notice)
        return await self._reranked(found, sought, account) if rerank else found

    async def _rows(self, tenant: str, sought: Sought, near: Near | None, mode: Mode) -> list[Record]:
        async with within_tenant(self._db, tenant) as connection:
            return await search(connection, tenant, sought, near, mode)

    async def _counted(self, rows: Coroutine[Any, Any, list[Record]], account: Account, spent: Sequence[Spend]) -> list[Record]:
        """What the query's vector cost is written while it is searched with: neither waits for the other, and both are awaited."""
        if not spent:
            return await rows
        recording = asyncio.ensure_future(account.record(spent))
        try:
            return await rows
        finally:
            await recording

    async def _near(self, tenant: str, query: str, mode: Mode, account: Account) -> tuple[Near | None, Sequence[Spend], str | None]:
        """The query's vector and what it cost, or why there is none; nothing is amiss where nobody wants vectors."""
        embedder = await self._embedding.find()
        if embedder is None:
            missing = self._embedding.is_configured
            why = "The database cannot keep vectors: it has no pgvector." if missing else "No embedder is configured."
            if mode == "vector":
                raise EmbedderMissing(why, hint="Search with mode text or hybrid.")
            return None, (), why if missing else None
        try:
            made = await self._embedding.of_query(embedder, tenant, query, account)
        except ModelProblem as problem:
            if mode == "vector":
                raise
            log.warning("knowledge.not_embedded", code=problem.code, detail=problem.detail)
            return None, (), f"Searched by text alone: {problem.detail}"
        return Near(embedder.identity, made.vector), made.spent, None

    async def _reranked(self, found: Found, sought: Sought, account: Account) -> Found:
        """In the model's order, or as it was found where the model fails, which `notice` says."""
        assert self._reranker is not None
        first = found.items[: sought.most]
        if len(found.items) < 2:
            return found.model_copy(update={"items": first})
        try:
            order = await self._reranker.order(account, sought.query, found.items)
        except ModelProblem as problem:
            log.warning("knowledge.not_reranked", code=problem.code, detail=problem.detail)
            notice = " ".join(filter(None, (found.notice, f"Not reranked: {problem.detail}")))
            return found.model_copy(update={"items": first, "notice": notice})
        items = [found.items[place] for place in order][: sought.most]
        return found.model_copy(update={"items": items, "reranked": True})
