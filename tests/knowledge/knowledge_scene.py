"""Knowledge without a gateway and without a worker's process: real rows, a real folder of objects, and documents that are plain text."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pointsman.jobs.queue.port import Message
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.kit.principal import Principal
from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.clearing import Clearing
from pointsman.knowledge.indexing import Indexer
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.parsing.errors import Unreadable
from pointsman.knowledge.rows import Given
from pointsman.knowledge.schemas import FileRead, Found, SearchBody
from pointsman.knowledge.service import KnowledgeService
from pointsman.knowledge.sources import Sources
from pointsman.settings import Settings

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


@dataclass
class Scene:
    """What a gateway and a worker have of knowledge."""

    db: Database
    owner: Connection
    objects: Objects
    folder: Path
    sources: Sources
    read: Any = field(default=read_lines)

    @staticmethod
    def of(db: Database, owner: Connection, settings: Settings) -> Scene:
        return Scene(db, owner, Objects.of(settings), settings.data_dir / "objects", Sources(settings, Egress()))

    @property
    def service(self) -> KnowledgeService:
        return KnowledgeService(self.db, self.objects, self.sources, most_bytes=10_000_000)

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
            return await Indexer(self.db, self.objects, self.read).handle(Message("index", message, "linux_worker_pool"))

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
