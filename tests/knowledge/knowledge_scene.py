"""Knowledge without a gateway and without a worker's process: real rows, a real folder of objects, and documents that are plain text."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pointsman.budgets.metering import Budgets
from pointsman.jobs.queue.port import Message
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.kit.principal import Principal
from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.clearing import Clearing
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.indexing import Indexer
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.parsing.errors import Unreadable
from pointsman.knowledge.reranking import Reranker
from pointsman.knowledge.rows import Given
from pointsman.knowledge.schemas import FileRead, Found, SearchBody
from pointsman.knowledge.searching import Searcher
from pointsman.knowledge.service import KnowledgeService
from pointsman.knowledge.sources import Sources
from pointsman.llm.embedding.embedder import Embedder
from pointsman.settings import KnowledgeSettings, Settings

OPERATOR = Principal(key_id=1, key_name="k", owner_id=None, scopes=frozenset({"admin"}), tenant=None)


def of(tenant: str) -> Principal:
    """A key of the tenant."""
    return Principal(key_id=1, key_name="k", owner_id=tenant, scopes=frozenset({"admin"}), tenant=tenant)


async def read_lines(path: Path, filename: str, content_type: str | None) -> Sequence[Chunk]:
    """The port `ReadDocument`: each line is a chunk on a page of its own."""
    del content_type
    text = await asyncio.to_thread(path.read_text)
    if not text:
        raise Unreadable(f"{filename} is empty.")
    return [Chunk(number, line, number + 1, filename, len(line.split())) for number, line in enumerate(text.splitlines())]


def knowing(**knowledge: Any) -> Settings:
    """Settings of knowledge, with the providers that are given."""
    providers = knowledge.pop("providers", {})
    return Settings(knowledge=KnowledgeSettings(**knowledge), providers=providers)


class NoHints:
    """Where news of budgets would come from: they are read anew by age alone."""

    def subscribe(self, topic: str, callback: object, /) -> None:
        del topic, callback


@dataclass
class Scene:
    """What a gateway and a worker have of knowledge."""

    db: Database
    owner: Connection
    objects: Objects
    folder: Path
    sources: Sources
    budgets: Budgets
    embedding: Embedding
    read: Any = field(default=read_lines)
    reranker: Reranker | None = None

    @staticmethod
    def of(db: Database, owner: Connection, settings: Settings) -> Scene:
        budgets = Budgets(db, NoHints(), output_tokens=100)
        objects, sources = Objects.of(settings), Sources(settings, Egress())
        return Scene(db, owner, objects, settings.data_dir / "objects", sources, budgets, Embedding(db, Embedder.of(settings)))

    def with_embedder(self, named: str | None, **more: Any) -> Scene:
        """The same with another embedder, as after a restart with other settings."""
        return replace(self, embedding=Embedding(self.db, Embedder.of(knowing(embedder=named, **more))))

    @property
    def searcher(self) -> Searcher:
        return Searcher(self.db, self.budgets, self.embedding, self.reranker)

    @property
    def service(self) -> KnowledgeService:
        return KnowledgeService(self.db, self.objects, self.sources, self.searcher, self.embedding, most_bytes=10_000_000)

    @property
    def clearing(self) -> Clearing:
        return Clearing(self.db, self.objects)

    async def upload(self, text: str, *, tenant: str = "acme", name: str = "notes.txt", **given: Any) -> FileRead:
        """Take a file in."""
        kept = await self.service.keep(pieces(text.encode()))
        return await self.service.store(of(tenant), tenant, Given(name, **given), kept)

    async def handle(self, message: str) -> timedelta | None:
        """As a worker of its own."""
        async with asyncio.timeout(20):
            indexer = Indexer(self.db, self.budgets, self.objects, self.read, self.embedding)
            return await indexer.handle(Message("index", message, "linux_worker_pool"))

    async def messages(self) -> list[str]:
        """What waits in the queue; it stays there until it is handled."""
        rows = await self.owner.fetch("SELECT payload FROM queue.pgqueuer WHERE entrypoint = 'index:linux_worker_pool' ORDER BY id")
        return [bytes(row["payload"]).decode() for row in rows]

    async def index(self) -> None:
        """Handle all that waits."""
        for message in await self.messages():
            assert await self.handle(message) is None
        await self.owner.execute("DELETE FROM queue.pgqueuer WHERE entrypoint LIKE 'index:%'")

    async def file(self, file: FileRead) -> FileRead:
        """As it is now."""
        return await self.service.require_file(OPERATOR, file.tenant_id, str(file.file_id))

    async def found(self, query: str, *, tenant: str = "acme", **more: Any) -> list[str]:
        """The text of what is found."""
        return [passage.content for passage in (await self.search(query, tenant=tenant, **more)).items]

    async def search(self, query: str, *, tenant: str = "acme", **more: Any) -> Found:
        return await self.service.search(of(tenant), tenant, SearchBody(query=query, **more))

    async def chunks(self, file: FileRead) -> int:
        return await self.owner.fetchval("SELECT count(*) FROM knowledge_chunks WHERE entry_id = $1", file.id)

    def kept(self) -> set[str]:
        """Names of the objects that are there."""
        return {path.name for path in self.folder.rglob("*") if path.is_file()} if self.folder.exists() else set()

    async def referred(self) -> set[str]:
        """Names of the objects that entries refer to."""
        rows = await self.owner.fetch("SELECT gcs_path FROM knowledge_entries WHERE gcs_path IS NOT NULL")
        return {row["gcs_path"].rpartition("/")[2] for row in rows}


def a_uuid() -> uuid.UUID:
    """Any."""
    return uuid.uuid4()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """As a client sends them."""
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
