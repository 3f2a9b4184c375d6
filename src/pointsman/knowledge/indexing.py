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

from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.execution.errors import TargetFailed
from pointsman.jobs.queue.port import Message
from pointsman.jobs.storable import storable_text
from pointsman.kit import json_text
from pointsman.kit.db import Database, unavailable_when_away
from pointsman.kit.problems import Problem
from pointsman.knowledge import queries
from pointsman.knowledge.accounts import Account
from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.embedding import Embedded, Embedding
from pointsman.knowledge.errors import IndexingInterrupted
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.parsing.errors import ParsingUnavailable, Unreadable
from pointsman.knowledge.points import CLAIMING, EMBEDDING, FAILING, INDEXING, READING
from pointsman.knowledge.ports import ReadDocument
from pointsman.knowledge.rows import Claimed
from pointsman.knowledge.storing_errors import ObjectMissing, StoreFailed
from pointsman.knowledge.tenants import within_tenant
from pointsman.llm.errors import ModelProblem

_AT_ONCE = 2  # documents that one worker reads at the same time: reading is work for processors
_MOST_ATTEMPTS = 5
_AGAIN = timedelta(seconds=2)
_LONGEST_WAIT = 3600.0  # seconds, whatever a provider asks for

log = structlog.get_logger()


class Indexer:
    """The files that this process has in hand."""

    def __init__(self, db: Database, budgets: Budgets, objects: Objects, read: ReadDocument, embedding: Embedding) -> None:
        self._db = db
        self._budgets = budgets
        self._embedding = embedding
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
            await READING.reach("after")
            embedded = await self._embedded(claimed, chunks)
        except (Unreadable, ObjectMissing) as problem:
            await self._fail(claimed, problem)
            return None
        except (StoreFailed, ParsingUnavailable, TargetFailed, ModelProblem) as problem:
            if claimed.attempts == _MOST_ATTEMPTS:
                await self._fail(claimed, problem)
                return None
            log.warning("knowledge.not_read", entry_id=str(claimed.entry_id), code=problem.code, detail=problem.detail)
            return max(_AGAIN * 2**claimed.attempts, timedelta(seconds=min(problem.retry_after or 0, _LONGEST_WAIT)))
        await self._write(claimed, chunks, embedded)
        return None

    async def _embedded(self, claimed: Claimed, chunks: Sequence[Chunk]) -> Embedded | None:
        """Vectors of all chunks, paid by who sent the file; None where search is by text. Raises a `ModelProblem`, Unavailable."""
        if await self._embedding.find() is None:
            return None
        async with within_tenant(self._db, claimed.tenant_id) as connection:
            await queries.note_step(connection, claimed, "embedding")
        payer = Payer(claimed.tenant_id, "", None, claimed.key_id)
        account = Account(self._db, self._budgets, payer, Account.name_of_indexing(claimed.entry_id, claimed.epoch))
        embedded = await self._embedding.of_chunks(chunks, account)
        await EMBEDDING.reach("after")
        return embedded

    async def _chunks_of(self, claimed: Claimed) -> Sequence[Chunk]:
        # A file without a name: whoever dies while it is read leaves nothing.
        with await asyncio.to_thread(tempfile.TemporaryFile) as file:
            await _copy(self._objects.read(claimed.gcs_path), file)
            chunks = await self._read(Path(f"/proc/self/fd/{file.fileno()}"), claimed.original_filename, claimed.content_type)
        return [replace(chunk, content=storable_text(chunk.content) or "", heading=storable_text(chunk.heading)) for chunk in chunks]

    async def _write(self, claimed: Claimed, chunks: Sequence[Chunk], embedded: Embedded | None) -> None:
        with unavailable_when_away():
            await INDEXING.reach("before")
            async with within_tenant(self._db, claimed.tenant_id) as connection:
                if not await queries.hold(connection, claimed):
                    log.info("knowledge.taken_over", entry_id=str(claimed.entry_id))
                    return
                await queries.replace_chunks(connection, claimed, chunks)
                if embedded is not None:
                    await queries.insert_vectors(connection, claimed, embedded.embedder, embedded.vectors)
                await queries.settle_indexed(connection, claimed, len(chunks), embedded and embedded.embedder)
                await INDEXING.reach("in")
            await INDEXING.reach("after")
        log.info("knowledge.indexed", entry_id=str(claimed.entry_id), chunks=len(chunks))

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
