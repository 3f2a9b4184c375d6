"""The statements of the search: by words, by vectors, and by both with their ranks fused. Each is one statement, within one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pointsman.kit.db import Connection, Record

Mode = Literal["hybrid", "text", "vector"]

# $1 tenant, $2 query, $3 collections, $4 whether agents search, $5 file type, $6 metadata, $7 most; $8 vector and $9 embedder.
_BY_WORDS = """
texts AS (
    SELECT m.entry_id, m.ordinal, m.rank AS score FROM (
        SELECT strict, CASE WHEN strict::text LIKE '%!%' THEN strict ELSE replace(plain::text, '&', '|')::tsquery END AS loose
        FROM (SELECT websearch_to_tsquery('english', $2) AS strict, plainto_tsquery('english', $2) AS plain) q
    ) q
    CROSS JOIN LATERAL knowledge_matches($1, q.strict, q.loose, $3, $4, $5, $6::text::jsonb) m
)"""
# All vectors of the tenant are looked at: none that is near is missed, and it costs less than an index over all tenants, of whose
# nearest ones most would be others'. Vectors of another embedder, or of other dimensions, cannot be compared. The query's words are
# named so that their parameter has a type where nothing else asks for it.
_BY_VECTORS = """
vectors AS (
    SELECT v.entry_id, v.ordinal, (v.embedding <#> (SELECT l2_normalize($8::real[]::vector)::halfvec)) * -1 AS score
    FROM knowledge_vectors v JOIN knowledge_entries e ON e.id = v.entry_id
    WHERE {of_vectors} AND $2::text IS NOT NULL AND e.status = 'active'
      AND v.embedder = $9 AND vector_dims(v.embedding) = cardinality($8::real[])
      AND ($3::varchar[] IS NULL OR e.collection_id = ANY ($3) OR $4::boolean AND e.file_type = 'company')
      AND ($5::varchar IS NULL OR e.file_type = $5) AND ($6::text IS NULL OR e.metadata @> $6::text::jsonb)
    ORDER BY score DESC LIMIT 100
)"""
# Reciprocal rank fusion: what both know is before what one of them does, and neither's scores need a common measure.
_FUSED = """
fused AS (
    SELECT entry_id, ordinal, sum(1.0 / (60 + place))::real AS score FROM (
        SELECT entry_id, ordinal, row_number() OVER (ORDER BY score DESC, entry_id, ordinal) AS place FROM texts
        UNION ALL
        SELECT entry_id, ordinal, row_number() OVER (ORDER BY score DESC, entry_id, ordinal) AS place FROM vectors
    ) f GROUP BY entry_id, ordinal
)"""
_PASSAGES = """
SELECT e.file_id, e.original_filename, e.collection_id, c.ordinal, c.page, c.heading, c.content, m.score, e.metadata::text AS metadata
FROM {found} m
JOIN knowledge_chunks c ON c.entry_id = m.entry_id AND c.ordinal = m.ordinal
JOIN knowledge_entries e ON e.id = c.entry_id
WHERE {of_chunks} AND e.status = 'active'
ORDER BY m.score DESC, e.created_at, e.id, c.ordinal LIMIT $7
"""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for, and where. With `agents`, files of the company are in, whatever the collections."""

    query: str
    most: int
    collections: tuple[str, ...] | None = None
    agents: bool = False
    file_type: str | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """The vector of what is looked for, and the embedder that made it."""

    embedder: str
    vector: Sequence[float]


def statement(mode: Mode, *, filtered: bool = True) -> str:
    """What is found, best first. Without `filtered` the tenant's own conditions are left out, which only tests do."""
    parts = {"text": [_BY_WORDS], "vector": [_BY_VECTORS], "hybrid": [_BY_WORDS, _BY_VECTORS, _FUSED]}[mode]
    found = {"text": "texts", "vector": "vectors", "hybrid": "fused"}[mode]
    return f"WITH {','.join(parts)}{_PASSAGES}".format(
        found=found,
        of_vectors="v.tenant_id = $1 AND e.tenant_id = $1" if filtered else "$1::varchar IS NOT NULL",
        of_chunks="c.tenant_id = $1 AND e.tenant_id = $1" if filtered else "true",
    )


_STATEMENTS: dict[Mode, str] = {mode: statement(mode) for mode in ("hybrid", "text", "vector")}


async def search(connection: Connection, tenant: str, sought: Sought, near: Near | None = None, mode: Mode = "text") -> list[Record]:
    """Chunks of the tenant, best first; all but `text` needs `near`."""
    collections = None if sought.collections is None else list(sought.collections)
    values = [tenant, sought.query, collections, sought.agents, sought.file_type, sought.metadata, sought.most]
    if near is not None and mode != "text":
        values += [near.vector, near.embedder]
    return await connection.fetch(_STATEMENTS[mode], *values)
