"""Every statement on knowledge. Each names its tenant, beside the row-level security of the transaction it runs in."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from pointsman.kit.db import Connection, Record
from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.rows import Claimed, Given

_COLUMNS = """
e.id, e.tenant_id, e.collection_id, e.file_id, e.original_filename, e.file_type, e.content_type, e.gcs_path, e.status, e.knowledge_status,
e.metadata::text AS metadata, e.created_at, e.updated_at, d.sha256, d.size, d.chunks, d.step, d.attempts, d.revision,
d.failure::text AS failure, d.indexed_at, d.settled >= d.wanted AS is_settled
"""
_ENTRIES = "knowledge_entries e JOIN knowledge_details d ON d.entry_id = e.id"
_FIND = f"SELECT {_COLUMNS} FROM {_ENTRIES} WHERE e.tenant_id = $1 AND e.file_id = $2"
_LIST = f"""
SELECT {_COLUMNS} FROM {_ENTRIES}
WHERE e.tenant_id = $1 AND ($2::varchar IS NULL OR e.collection_id = $2)
  AND CASE WHEN $3::varchar IS NULL THEN e.status <> 'deleted' ELSE e.status = $3 END
  AND ($4::timestamptz IS NULL OR (e.created_at, e.id) < ($4, $5))
ORDER BY e.created_at DESC, e.id DESC LIMIT $6
"""
_FIND_ALIKE = f"""
SELECT {_COLUMNS} FROM {_ENTRIES}
WHERE e.tenant_id = $1 AND d.tenant_id = $1 AND d.sha256 = $2 AND e.original_filename = $3 AND e.file_type = $4
  AND e.collection_id IS NOT DISTINCT FROM $5 AND e.status <> 'deleted'
ORDER BY e.created_at, e.id LIMIT 1
"""
_INSERT = """
INSERT INTO knowledge_entries
    (tenant_id, file_id, collection_id, original_filename, file_type, content_type, metadata, gcs_path, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, clock_timestamp(), clock_timestamp()) RETURNING id
"""
_DESCRIBE = """
UPDATE knowledge_entries SET collection_id = $3, original_filename = $4, file_type = $5, content_type = $6, metadata = $7::text::jsonb,
       updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND file_id = $2
"""
_REPLACE = """
UPDATE knowledge_entries SET gcs_path = $3, status = CASE status WHEN 'active' THEN 'active' ELSE 'pending' END,
       knowledge_status = CASE status WHEN 'active' THEN 'outdated' END, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2
"""
_WANT = """
INSERT INTO knowledge_details AS d (entry_id, tenant_id, sha256, size, key_id) VALUES ($2, $1, $3, $4, $5)
ON CONFLICT (entry_id) DO UPDATE SET sha256 = $3, size = $4, key_id = $5, wanted = d.wanted + 1, attempts = 0, step = 'queued',
       revision = d.revision + 1, failure = NULL
"""
_CLAIM = """
WITH claimed AS (
    UPDATE knowledge_details d SET epoch = d.epoch + 1, attempts = d.attempts + 1, step = 'reading', revision = d.revision + 1
      FROM knowledge_entries e
     WHERE d.tenant_id = $1 AND d.entry_id = $2 AND e.id = d.entry_id AND d.settled < d.wanted AND e.status <> 'deleted'
    RETURNING d.entry_id, d.tenant_id, d.wanted, d.epoch, d.attempts, d.key_id
), entry AS (
    UPDATE knowledge_entries e SET knowledge_status = 'indexing', updated_at = clock_timestamp(),
           status = CASE e.status WHEN 'active' THEN 'active' ELSE 'processing' END
      FROM claimed WHERE e.id = claimed.entry_id
    RETURNING e.id, e.gcs_path, e.original_filename, e.content_type
)
SELECT c.*, e.gcs_path, e.original_filename, e.content_type FROM claimed c JOIN entry e ON e.id = c.entry_id
"""
_STEP = """
UPDATE knowledge_details SET step = $5, revision = revision + 1 WHERE tenant_id = $1 AND entry_id = $2 AND epoch = $3 AND wanted = $4
"""
# Everybody locks the entry before its details, or two of them would wait for each other.
_LOCK = "SELECT 1 FROM knowledge_entries WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
_HOLD = "SELECT 1 FROM knowledge_details WHERE tenant_id = $1 AND entry_id = $2 AND epoch = $3 AND wanted = $4 FOR UPDATE"
_SETTLE = """
UPDATE knowledge_details SET settled = wanted, attempts = 0, step = $3, revision = revision + 1, failure = $4::text::json,
       chunks = coalesce($5, chunks), indexed_at = CASE WHEN $5::int IS NULL THEN indexed_at ELSE clock_timestamp() END,
       embedder = CASE WHEN $5::int IS NULL THEN embedder ELSE $6 END
 WHERE tenant_id = $1 AND entry_id = $2
"""
_CHUNKS = """
INSERT INTO knowledge_chunks (tenant_id, entry_id, ordinal, page, heading, content, tokens)
SELECT $1, $2, c.* FROM unnest($3::int[], $4::int[], $5::text[], $6::text[], $7::int[]) AS c
"""
# One long array in place of many: its parts are cut out by the server, and no statement is sent for each chunk.
_VECTORS = """
INSERT INTO knowledge_vectors (tenant_id, entry_id, ordinal, embedder, embedding)
SELECT $1, $2, $4::int + n, $3, l2_normalize((v.numbers[n * $5::int + 1 : (n + 1) * $5::int])::vector)::halfvec
FROM (SELECT $7::real[] AS numbers) v, generate_series(0, $6::int - 1) AS n
"""
_VECTORS_AT_ONCE = 200
_LIST_TO_REINDEX = """
SELECT e.id FROM knowledge_entries e JOIN knowledge_details d ON d.entry_id = e.id
WHERE e.tenant_id = $1 AND d.tenant_id = $1 AND e.status <> 'deleted' AND d.settled >= d.wanted
  AND ($2::varchar IS NULL OR e.collection_id = $2)
  AND CASE $3::varchar WHEN 'all' THEN true WHEN 'failed' THEN e.knowledge_status = 'failed'
      ELSE e.knowledge_status = 'outdated' OR e.knowledge_status = 'indexed' AND $4::varchar IS NOT NULL AND d.embedder IS DISTINCT FROM $4
      END
  AND ($5::uuid IS NULL OR e.id > $5)
ORDER BY e.id LIMIT $6 FOR UPDATE OF e, d
"""
_REINDEX = """
WITH wished AS (
    UPDATE knowledge_details SET key_id = $3, wanted = wanted + 1, attempts = 0, step = 'queued', revision = revision + 1, failure = NULL
     WHERE tenant_id = $1 AND entry_id = ANY ($2::uuid[])
)
UPDATE knowledge_entries SET status = CASE status WHEN 'active' THEN 'active' ELSE 'pending' END,
       knowledge_status = CASE status WHEN 'active' THEN 'outdated' END, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
"""
_DELETE = """
WITH gone AS (
    UPDATE knowledge_details d SET settled = wanted, epoch = epoch + 1, step = 'deleted', revision = revision + 1,
           chunks = 0, failure = NULL
     WHERE tenant_id = $1 AND entry_id = $2
)
UPDATE knowledge_entries SET status = 'deleted', knowledge_status = NULL, gcs_path = NULL, updated_at = clock_timestamp()
 WHERE tenant_id = $1 AND id = $2
"""


async def lock_tenant(connection: Connection, tenant: str) -> None:
    """Of two uploads of one tenant at once, the second sees what the first has stored."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('knowledge ' || $1, 0))", tenant)


async def find_entry(connection: Connection, tenant: str, file_id: uuid.UUID, *, lock: bool = False) -> Record | None:
    """A file of the tenant, also a deleted one."""
    return await connection.fetchrow(_FIND + (" FOR UPDATE OF e, d" if lock else ""), tenant, file_id)


async def find_alike(connection: Connection, tenant: str, given: Given, sha256: str) -> Record | None:
    """A file of the same content, name, type and collection."""
    return await connection.fetchrow(_FIND_ALIKE, tenant, sha256, given.filename, given.file_type, given.collection_id)


async def list_entries(
    connection: Connection,
    tenant: str,
    *,
    collection_id: str | None,
    status: str | None,
    before: tuple[dt.datetime, uuid.UUID] | None,
    limit: int,
) -> list[Record]:
    """Newest first; deleted ones only where they are asked for."""
    created_at, entry_id = before or (None, None)
    return await connection.fetch(_LIST, tenant, collection_id, status, created_at, entry_id, limit)


async def insert_entry(connection: Connection, tenant: str, file_id: uuid.UUID, given: Given, uri: str) -> uuid.UUID:
    """A new file; its id."""
    return await connection.fetchval(_INSERT, tenant, file_id, *given.columns(), uri)


async def describe_entry(connection: Connection, tenant: str, file_id: uuid.UUID, given: Given) -> None:
    """Change what is said about a file."""
    await connection.execute(_DESCRIBE, tenant, file_id, *given.columns())


async def replace_object(connection: Connection, tenant: str, entry_id: uuid.UUID, uri: str) -> None:
    """The file's content is now this; what was indexed of the former stays searchable and is outdated."""
    await connection.execute(_REPLACE, tenant, entry_id, uri)


async def want_indexed(connection: Connection, tenant: str, entry_id: uuid.UUID, *, sha256: str, size: int, key_id: int) -> None:
    """The file is to be indexed, or to be indexed anew."""
    await connection.execute(_WANT, tenant, entry_id, sha256, size, key_id)


async def list_to_reindex(
    connection: Connection, tenant: str, *, which: str, collection_id: str | None, embedder: str | None, after: uuid.UUID | None, most: int
) -> list[uuid.UUID]:
    """Files that nobody is indexing, held until the transaction ends: outdated, failed or all of them, in the order of their ids."""
    rows = await connection.fetch(_LIST_TO_REINDEX, tenant, collection_id, which, embedder, after, most)
    return [row["id"] for row in rows]


async def want_reindexed(connection: Connection, tenant: str, entry_ids: Sequence[uuid.UUID], key_id: int) -> None:
    """They are to be indexed anew; what is indexed stays searchable."""
    await connection.execute(_REINDEX, tenant, list(entry_ids), key_id)


async def list_tenants(connection: Connection, visible: str | None, *, after: str | None, embedder: str | None, limit: int) -> list[Record]:
    """Tenants that have files, with how many, and how many of them failed or are outdated; a `visible` of None sees all."""
    return await connection.fetch("SELECT * FROM knowledge_tenants($1, $2, $3, $4)", visible, after, embedder, limit)


async def outdate(connection: Connection, embedder: str | None, most: int) -> int:
    """Of any tenant, make entries that another embedder indexed outdated, and those that it was after all current; how many."""
    return await connection.fetchval("SELECT knowledge_outdate($1, $2)", embedder, most)


async def claim(connection: Connection, tenant: str, entry_id: uuid.UUID) -> Claimed | None:
    """The file is the caller's to index; None where there is nothing to do."""
    await connection.execute(_LOCK, tenant, entry_id)
    row = await connection.fetchrow(_CLAIM, tenant, entry_id)
    return None if row is None else Claimed(**{name: row[name] for name in Claimed.__slots__})


async def note_step(connection: Connection, claimed: Claimed, step: str) -> None:
    """How far it is, for those who follow."""
    await connection.execute(_STEP, *claimed.fence, step)


async def hold(connection: Connection, claimed: Claimed) -> bool:
    """Whether the file is still the caller's, which it then is until the transaction ends."""
    await connection.execute(_LOCK, claimed.tenant_id, claimed.entry_id)
    return await connection.fetchval(_HOLD, *claimed.fence) is not None


async def replace_chunks(connection: Connection, claimed: Claimed, chunks: Sequence[Chunk]) -> None:
    """These instead of the former ones."""
    await connection.execute("DELETE FROM knowledge_chunks WHERE tenant_id = $1 AND entry_id = $2", claimed.tenant_id, claimed.entry_id)
    for start in range(0, len(chunks), 1000):
        part = chunks[start : start + 1000]
        columns = [[getattr(chunk, name) for chunk in part] for name in ("ordinal", "page", "heading", "content", "tokens")]
        await connection.execute(_CHUNKS, claimed.tenant_id, claimed.entry_id, *columns)


async def insert_vectors(connection: Connection, claimed: Claimed, embedder: str, vectors: Sequence[Sequence[float]]) -> None:
    """A vector for each of the chunks that were just written, of unit length whatever length they came with."""
    for start in range(0, len(vectors), _VECTORS_AT_ONCE):
        part = vectors[start : start + _VECTORS_AT_ONCE]
        numbers = [number for vector in part for number in vector]
        await connection.execute(_VECTORS, claimed.tenant_id, claimed.entry_id, embedder, start, len(part[0]), len(part), numbers)


async def can_keep_vectors(connection: Connection) -> bool:
    """Whether the server has pgvector, and the table is made."""
    return await connection.fetchval("SELECT to_regclass('public.knowledge_vectors') IS NOT NULL")


async def settle_indexed(connection: Connection, claimed: Claimed, chunks: int, embedder: str | None) -> None:
    """It is indexed; `embedder` made its vectors, if it has any."""
    statement = """UPDATE knowledge_entries SET status = 'active', knowledge_status = 'indexed', updated_at = clock_timestamp()
                   WHERE tenant_id = $1 AND id = $2"""
    await connection.execute(statement, claimed.tenant_id, claimed.entry_id)
    await connection.execute(_SETTLE, claimed.tenant_id, claimed.entry_id, "indexed", None, chunks, embedder)


async def settle_failed(connection: Connection, claimed: Claimed, failure: str) -> None:
    """It failed; what was indexed before stays searchable."""
    statement = """UPDATE knowledge_entries SET status = CASE status WHEN 'active' THEN 'active' ELSE 'failed' END,
                   knowledge_status = 'failed', updated_at = clock_timestamp() WHERE tenant_id = $1 AND id = $2"""
    await connection.execute(statement, claimed.tenant_id, claimed.entry_id)
    await connection.execute(_SETTLE, claimed.tenant_id, claimed.entry_id, "failed", failure, None, None)


async def delete_entry(connection: Connection, tenant: str, entry_id: uuid.UUID) -> None:
    """Its chunks are gone, and the row says that it was deleted."""
    await connection.execute("DELETE FROM knowledge_chunks WHERE tenant_id = $1 AND entry_id = $2", tenant, entry_id)
    await connection.execute(_DELETE, tenant, entry_id)


async def leave_object(connection: Connection, uri: str, due: dt.timedelta = dt.timedelta()) -> None:
    """The object of this URI is nobody's after so long."""
    statement = """INSERT INTO knowledge_leftovers (uri, due_at) VALUES ($1, clock_timestamp() + $2)
                   ON CONFLICT (uri) DO UPDATE SET due_at = excluded.due_at"""
    await connection.execute(statement, uri, due)


async def keep_object(connection: Connection, uri: str) -> bool:
    """The object is an entry's now; False where it was taken for a leftover already."""
    return await connection.fetchval("DELETE FROM knowledge_leftovers WHERE uri = $1 RETURNING true", uri) is True


async def list_leftovers(connection: Connection, most: int) -> list[str]:
    """URIs that are due, which are the caller's for a minute."""
    statement = """UPDATE knowledge_leftovers SET due_at = clock_timestamp() + interval '1 minute' WHERE uri = ANY (ARRAY(
                   SELECT uri FROM knowledge_leftovers WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED))
                   RETURNING uri"""
    return [row["uri"] for row in await connection.fetch(statement, most)]


async def forget_leftovers(connection: Connection, uris: Sequence[str]) -> None:
    """They are gone."""
    await connection.execute("DELETE FROM knowledge_leftovers WHERE uri = ANY ($1::varchar[])", list(uris))
