"""What a worker does when the queue says that a file is to be indexed; each content comes to one end, whoever dies."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO

import structlog

from pointsman.execution.errors import TargetFailed
from pointsman.jobs.queue.port import Message
from pointsman.jobs.storable import storable_text
from pointsman.kit import json_text
from pointsman.kit.db import Database, unavailable_when_away
from pointsman.kit.problems import Problem
from pointsman.knowledge import queries
from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.errors import IndexingInterrupted
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.parsing.errors import ParsingUnavailable, Unreadable
from pointsman.knowledge.points import CLAIMING, FAILING, INDEXING, READING
from pointsman.knowledge.ports import ReadDocument
from pointsman.knowledge.rows import Claimed
from pointsman.knowledge.storing_errors import ObjectMissing, StoreFailed
from pointsman.knowledge.tenants import within_tenant

_AT_ONCE = 2  # documents that one worker reads at the same time: reading is work for processors
_MOST_ATTEMPTS = 5
_AGAIN = timedelta(seconds=2)

log = structlog.get_logger()


class Indexer:
    """The files that this process has in hand."""

    def __init__(self, db: Database, objects: Objects, read: ReadDocument) -> None:
        self._db = db
        self._objects = objects
        self._read = read
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def handle(self, message: Message) -> timedelta | None:
        """Index the file of the message; when to come again after a failure that may pass. Raises Unavailable."""
        tenant, _, entry_id = message.id.partition("/")
        async with self._room:
            with unavailable_when_away():
                claimed = await self._claim(tenant, uuid.UUID(entry_id))
            if claimed is None:
                return None
            log.info("knowledge.indexing", entry_id=entry_id, attempt=claimed.attempts)
            return await self._index(claimed)

    async def _claim(self, tenant: str, entry_id: uuid.UUID) -> Claimed | None:
        await CLAIMING.reach("before")
        async with within_tenant(self._db, tenant) as connection:
            claimed = await queries.claim(connection, tenant, entry_id)
            await CLAIMING.reach("in")
        await CLAIMING.reach("after")
        return claimed

    async def _index(self, claimed: Claimed) -> timedelta | None:
        if claimed.attempts > _MOST_ATTEMPTS:
            await self._fail(claimed, IndexingInterrupted(f"{_MOST_ATTEMPTS} attempts did not come to an end."))
            return None
        try:
            chunks = await self._chunks_of(claimed)
        except (Unreadable, ObjectMissing) as problem:
            await self._fail(claimed, problem)
            return None
        except (StoreFailed, ParsingUnavailable, TargetFailed) as problem:
            if claimed.attempts == _MOST_ATTEMPTS:
                await self._fail(claimed, problem)
                return None
            log.warning("knowledge.not_read", entry_id=str(claimed.entry_id), code=problem.code, detail=problem.detail)
            return _AGAIN * 2**claimed.attempts
        await READING.reach("after")
        await self._write(claimed, chunks)
        return None

    async def _chunks_of(self, claimed: Claimed) -> Sequence[Chunk]:
        # A file without a name: whoever dies while it is read leaves nothing.
        with await asyncio.to_thread(tempfile.TemporaryFile) as file:
            await _copy(self._objects.read(claimed.gcs_path), file)
            return await self._read(Path(f"/proc/self/fd/{file.fileno()}"), claimed.original_filename, claimed.content_type)

    async def _write(self, claimed: Claimed, chunks: Sequence[Chunk]) -> None:
        kept = [replace(chunk, content=storable_text(chunk.content) or "", heading=storable_text(chunk.heading)) for chunk in chunks]
        with unavailable_when_away():
            await INDEXING.reach("before")
            async with within_tenant(self._db, claimed.tenant_id) as connection:
                if not await queries.hold(connection, claimed):
                    log.info("knowledge.taken_over", entry_id=str(claimed.entry_id))
                    return
                await queries.replace_chunks(connection, claimed, kept)
                await queries.settle_indexed(connection, claimed, len(kept))
                await INDEXING.reach("in")
            await INDEXING.reach("after")
        log.info("knowledge.indexed", entry_id=str(claimed.entry_id), chunks=len(kept))

    async def _fail(self, claimed: Claimed, problem: Problem) -> None:
        with unavailable_when_away():
            await FAILING.reach("before")
            async with within_tenant(self._db, claimed.tenant_id) as connection:
                if await queries.hold(connection, claimed):
                    await queries.settle_failed(connection, claimed, storable_text(json_text.encode(problem.describe())) or "")
                await FAILING.reach("in")
            await FAILING.reach("after")
        log.info("knowledge.failed", entry_id=str(claimed.entry_id), code=problem.code, detail=problem.detail)


async def _copy(pieces: AsyncIterator[bytes], file: IO[bytes]) -> None:
    async for piece in pieces:
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)
