"""Wires knowledge: what a gateway takes in and finds, and what a worker reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.knowledge.chunking import Chunk, chunk
from pointsman.knowledge.clearing import Clearing
from pointsman.knowledge.indexing import Indexer
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.parsing import Parser, ParsingLimits
from pointsman.knowledge.service import KnowledgeService
from pointsman.knowledge.sources import Sources

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway
    from pointsman.bootstrap.worker import Worker


def provide_knowledge(gateway: Gateway) -> None:
    """Give the gateway the verbs of knowledge, and have it clear away objects that nobody refers to."""
    objects = Objects.of(gateway.settings)
    sources = Sources(gateway.settings, gateway.egress)
    gateway.provide(KnowledgeService(gateway.db, objects, sources, most_bytes=gateway.settings.limits.upload_bytes))
    gateway.loops.add("knowledge.clear", Clearing(gateway.db, objects).run)


def make_indexer(worker: Worker, parser: Parser) -> Indexer:
    """What handles the worker's messages about files."""
    limits = ParsingLimits.of(worker.settings)

    async def read(path: Path, filename: str, content_type: str | None) -> Sequence[Chunk]:
        pieces = await parser.parse(path, filename=filename, content_type=content_type, limits=limits)
        # Cutting is work for the processor: it must not keep others' heartbeats and streams waiting.
        return await asyncio.to_thread(chunk, pieces)

    return Indexer(worker.db, Objects.of(worker.settings), read)
