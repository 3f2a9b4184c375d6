"""Wires knowledge: what a gateway takes in and finds, and what a worker reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.knowledge.chunking import Chunk, chunk
from pointsman.knowledge.clearing import Clearing
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.indexing import Indexer
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.outdating import Outdating
from pointsman.knowledge.parsing import Parser, ParsingLimits
from pointsman.knowledge.reranking import Reranker
from pointsman.knowledge.searching import Searcher
from pointsman.knowledge.service import KnowledgeService
from pointsman.knowledge.sources import Sources
from pointsman.llm.errors import ModelProblem
from pointsman.settings import SettingsInvalid

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway
    from pointsman.bootstrap.worker import Worker


def make_searcher(gateway: Gateway, embedding: Embedding) -> Searcher:
    """What routes and agents search with."""
    named = gateway.settings.knowledge.reranker
    if named is not None:
        _require_model(gateway, named)
    reranker = None if named is None else Reranker(gateway.models, named)
    return Searcher(gateway.db, gateway.budgets, embedding, reranker)


def provide_knowledge(gateway: Gateway, searcher: Searcher, embedding: Embedding) -> None:
    """Give the gateway the verbs of knowledge, have it clear away objects that nobody refers to, and compare embedders."""
    objects, sources = Objects.of(gateway.settings), Sources(gateway.settings, gateway.egress)
    most = gateway.settings.limits.upload_bytes
    gateway.provide(KnowledgeService(gateway.db, objects, sources, searcher, embedding, most_bytes=most))
    gateway.loops.add("knowledge.clear", Clearing(gateway.db, objects).run)
    gateway.loops.add("knowledge.outdate", Outdating(gateway.db, embedding).run)


def _require_model(gateway: Gateway, named: str) -> None:
    try:
        gateway.models.require_configured(named)
    except ModelProblem as problem:
        raise SettingsInvalid(f"POINTSMAN_KNOWLEDGE__RERANKER: {problem.detail}", hint=problem.hint) from None


def make_indexer(worker: Worker, parser: Parser) -> Indexer:
    """What handles the worker's messages about files."""
    limits = ParsingLimits.of(worker.settings)

    async def read(path: Path, filename: str, content_type: str | None) -> Sequence[Chunk]:
        pieces = await parser.parse(path, filename=filename, content_type=content_type, limits=limits)
        # Cutting is work for the processor: it must not keep others' heartbeats and streams waiting.
        return await asyncio.to_thread(chunk, pieces)

    return Indexer(worker.db, worker.budgets, Objects.of(worker.settings), read, Embedding(worker.db, worker.embedder))
