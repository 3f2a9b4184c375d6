"""The verbs of knowledge, each one transaction within its tenant."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

import structlog

from pointsman.audit.service import record
from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.worker_config import DEFAULT_POOL
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Unavailable
from pointsman.knowledge import queries
from pointsman.knowledge.clearing import remove
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.errors import KnowledgeNotFound
from pointsman.knowledge.finding import Sought
from pointsman.knowledge.following import follow
from pointsman.knowledge.objects import Objects, Stored
from pointsman.knowledge.points import DELETING, KEEPING, STORING
from pointsman.knowledge.receiving import given_of, stored_metadata
from pointsman.knowledge.rows import Given
from pointsman.knowledge.schemas import FileRead, Found, ReindexBody, Reindexing, SearchBody, TenantRead, UriUploadBody
from pointsman.knowledge.searching import Asker, Searcher
from pointsman.knowledge.sources import Sources
from pointsman.knowledge.tenants import OWN, tenant_of, within_tenant
from pointsman.runs.replay import Replay
from pointsman.web.paging import Page, decode_cursor, page_of

_LONGEST_UPLOAD = dt.timedelta(hours=24)
_REINDEXED_AT_ONCE = 200  # files of one transaction
_MOST_REINDEXED = 4000  # of one request
_BACKGROUND = 3  # below jobs and runs, for which somebody may be waiting

log = structlog.get_logger()


class KnowledgeService:
    """Files of tenants as data; a worker indexes them."""

    def __init__(
        self, db: Database, objects: Objects, sources: Sources, searcher: Searcher, embedding: Embedding, *, most_bytes: int
    ) -> None:
        """Make one; a file has at most `most_bytes`."""
        self._db = db
        self._objects = objects
        self._sources = sources
        self._searcher = searcher
        self._embedding = embedding
        self.most_bytes = most_bytes

    def require_tenant(self, principal: Principal, named: str) -> str:
        """The tenant of a path, as stored. Raises KnowledgeNotFound."""
        return tenant_of(principal, named, _no_knowledge())

    async def keep(self, chunks: AsyncIterator[bytes]) -> Stored:
        """Write an object that is nobody's yet: it goes by itself unless `store` makes it a file's. Raises TooLarge."""
        key = uuid.uuid4().hex
        await KEEPING.reach("before")
        async with self._db.connection() as connection:
            await queries.leave_object(connection, self._objects.uri(key), _LONGEST_UPLOAD)
        await KEEPING.reach("after")
        return await self._objects.put(key, chunks, most=self.most_bytes)

    async def fetch(self, body: UriUploadBody, collection_id: str | None) -> tuple[Given, Stored]:
        """Keep what lies at an address. Raises UploadInvalid, TooLarge and what `Sources.open` raises."""
        said = body.model_dump(exclude={"uri", "filename"}, exclude_none=True)
        async with self._sources.open(body.uri, most=self.most_bytes) as source:
            filename = body.filename or source.filename
            given = given_of(said, filename=filename, content_type=source.content_type, collection_id=collection_id)
            return given, await self.keep(source.chunks)

    async def store(self, principal: Principal, tenant: str, given: Given, kept: Stored) -> FileRead:
        """Make what was kept a file's content; what is there already is left alone, and its description changed. Raises Unavailable."""
        await STORING.reach("before")
        async with within_tenant(self._db, tenant) as connection:
            await queries.lock_tenant(connection, tenant)
            known = await _find_known(connection, tenant, given, kept.sha256)
            file_id = known["file_id"] if known is not None else given.file_id or uuid.uuid4()
            if known is not None:
                await queries.describe_entry(connection, tenant, file_id, given)
            if known is None or known["sha256"] != kept.sha256 or known["status"] in {"failed", "deleted"}:
                await self._take(connection, principal, tenant, replace(given, file_id=file_id), kept, known)
            entry = await queries.find_entry(connection, tenant, file_id)
            await STORING.reach("in")
        await STORING.reach("after")
        assert entry is not None
        return FileRead.of(entry)

    async def _take(
        self, connection: Connection, principal: Principal, tenant: str, given: Given, kept: Stored, known: Record | None
    ) -> None:
        if not await queries.keep_object(connection, kept.uri):
            raise Unavailable("The upload took so long that it was cleared away.", hint="Send the file again.", retry_after=1)
        assert given.file_id is not None
        if known is None:
            entry_id = await queries.insert_entry(connection, tenant, given.file_id, given, kept.uri)
        else:
            entry_id = known["id"]
            if known["gcs_path"] is not None:
                await queries.leave_object(connection, known["gcs_path"])
            await queries.replace_object(connection, tenant, entry_id, kept.uri)
        await queries.want_indexed(connection, tenant, entry_id, sha256=kept.sha256, size=kept.size, key_id=principal.key_id)
        await enqueue(connection, [_message(tenant, entry_id)])
        await record(connection, principal, "knowledge.stored", "knowledge", str(given.file_id), {"sha256": kept.sha256}, tenant=tenant)

    async def list_tenants(self, principal: Principal, *, limit: int, cursor: str | None) -> Page[TenantRead]:
        """Tenants that the key sees and that have files, by name."""
        after: Any = decode_cursor(cursor, str)
        embedder = await self._embedding.find()
        async with self._db.connection() as connection:
            rows = await queries.list_tenants(
                connection,
                principal.visible_tenant,
                after=None if after is None else after[0],
                embedder=None if embedder is None else embedder.identity,
                limit=limit + 1,
            )
        return page_of(rows, limit, TenantRead.of, lambda row: (row["tenant_id"],))

    async def list_files(
        self, principal: Principal, named: str, *, collection_id: str | None, status: str | None, limit: int, cursor: str | None
    ) -> Page[FileRead]:
        """Newest first. Raises KnowledgeNotFound."""
        tenant = self.require_tenant(principal, named)
        before: Any = decode_cursor(cursor, dt.datetime, uuid.UUID)
        async with within_tenant(self._db, tenant) as connection:
            rows = await queries.list_entries(
                connection, tenant, collection_id=collection_id, status=status, before=before, limit=limit + 1
            )
        return page_of(rows, limit, FileRead.of, lambda row: (row["created_at"], row["id"]))

    async def require_file(self, principal: Principal, named: str, file_id: str) -> FileRead:
        """A file, also a deleted one. Raises KnowledgeNotFound."""
        tenant, wanted = _place(principal, named, file_id)
        async with within_tenant(self._db, tenant) as connection:
            return FileRead.of(await _require(connection, tenant, wanted))

    def follow(self, principal: Principal, named: str, file_id: uuid.UUID, after: int, replay: Replay) -> AsyncGenerator[bytes]:
        """Frames of how a file is indexed, above `after`; see `following.follow`. Raises KnowledgeNotFound."""
        return follow(self._db, replay, self.require_tenant(principal, named), file_id, after)

    async def reindex(self, principal: Principal, named: str, file_id: str) -> FileRead:
        """Have a file indexed anew; what is indexed stays searchable meanwhile. Raises KnowledgeNotFound, also for a deleted one."""
        tenant, wanted = _place(principal, named, file_id)
        async with within_tenant(self._db, tenant) as connection:
            entry = await _require(connection, tenant, wanted, lock=True)
            if entry["status"] == "deleted":
                raise _no_file()
            if entry["is_settled"]:
                await queries.replace_object(connection, tenant, entry["id"], entry["gcs_path"])
                await queries.want_indexed(
                    connection, tenant, entry["id"], sha256=entry["sha256"], size=entry["size"], key_id=principal.key_id
                )
                await enqueue(connection, [_message(tenant, entry["id"])])
                await record(connection, principal, "knowledge.reindexed", "knowledge", str(wanted), {}, tenant=tenant)
            return FileRead.of(await _require(connection, tenant, wanted))

    async def reindex_all(self, principal: Principal, named: str, body: ReindexBody) -> Reindexing:
        """Have many files indexed anew, at most a few thousand at once; who does it first, does it. Raises KnowledgeNotFound."""
        tenant = self.require_tenant(principal, named)
        embedder = await self._embedding.find()
        identity = None if embedder is None else embedder.identity
        files, after = 0, body.after
        while files < _MOST_REINDEXED:
            done = await self._reindex_some(principal, tenant, body, identity, after)
            files += len(done)
            if len(done) < _REINDEXED_AT_ONCE:
                return Reindexing(files=files, next=None)
            after = done[-1]
        return Reindexing(files=files, next=after)

    async def _reindex_some(
        self, principal: Principal, tenant: str, body: ReindexBody, embedder: str | None, after: uuid.UUID | None
    ) -> list[uuid.UUID]:
        which, collection, most = body.which, body.collection_id, _REINDEXED_AT_ONCE
        async with within_tenant(self._db, tenant) as connection:
            wanted = await queries.list_to_reindex(
                connection, tenant, which=which, collection_id=collection, embedder=embedder, after=after, most=most
            )
            if wanted:
                await queries.want_reindexed(connection, tenant, wanted, principal.key_id)
                await enqueue(connection, [_message(tenant, entry_id) for entry_id in wanted])
                detail = {"which": which, "collection_id": collection, "files": len(wanted)}
                await record(connection, principal, "knowledge.reindexed", "knowledge", tenant or OWN, detail, tenant=tenant)
        return wanted

    async def delete_file(self, principal: Principal, named: str, file_id: str) -> None:
        """Its chunks and its object are gone at once, the row stays; repeatable. Raises KnowledgeNotFound."""
        tenant, wanted = _place(principal, named, file_id)
        await DELETING.reach("before")
        async with within_tenant(self._db, tenant) as connection:
            entry = await _require(connection, tenant, wanted, lock=True)
            if entry["status"] != "deleted":
                await queries.delete_entry(connection, tenant, entry["id"])
                await queries.leave_object(connection, entry["gcs_path"])
                await record(connection, principal, "knowledge.deleted", "knowledge", str(wanted), {}, tenant=tenant)
            await DELETING.reach("in")
        await DELETING.reach("after")
        if entry["gcs_path"] is not None:
            await remove(self._db, self._objects, [entry["gcs_path"]])

    async def search(self, principal: Principal, named: str, body: SearchBody) -> Found:
        """Passages, best first. Raises KnowledgeNotFound, UploadInvalid and what `Searcher.search` raises."""
        tenant = self.require_tenant(principal, named)
        sought = Sought(
            query=body.query.replace("\x00", " "),
            most=body.top_k,
            collections=None if body.collection_ids is None else tuple(body.collection_ids),
            file_type=body.file_type,
            metadata=None if body.filter is None else stored_metadata(body.filter, "filter"),
        )
        return await self._searcher.search(Asker(tenant, principal.key_id), sought, body.mode, rerank=body.rerank)


async def _find_known(connection: Connection, tenant: str, given: Given, sha256: str) -> Record | None:
    """The file that an upload is about: the one it names, else one that is just like it."""
    if given.file_id is not None:
        return await queries.find_entry(connection, tenant, given.file_id, lock=True)
    return await queries.find_alike(connection, tenant, given, sha256)


def _place(principal: Principal, named: str, file_id: str) -> tuple[str, uuid.UUID]:
    tenant = tenant_of(principal, named, _no_file())
    try:
        return tenant, uuid.UUID(file_id)
    except ValueError:
        raise _no_file() from None


async def _require(connection: Connection, tenant: str, file_id: uuid.UUID, *, lock: bool = False) -> Record:
    entry = await queries.find_entry(connection, tenant, file_id, lock=lock)
    if entry is None:
        raise _no_file()
    return entry


def _message(tenant: str, entry_id: uuid.UUID) -> Message:
    return Message("index", f"{tenant}/{entry_id}", DEFAULT_POOL, _BACKGROUND)


def _no_knowledge() -> KnowledgeNotFound:
    return KnowledgeNotFound("This key has no knowledge at this place.", hint="GET /v2/knowledge/-/files lists that of its tenant.")


def _no_file() -> KnowledgeNotFound:
    return KnowledgeNotFound(
        "There is no such file in this knowledge.", hint="GET /v2/knowledge/-/files lists the files of the key's tenant."
    )
