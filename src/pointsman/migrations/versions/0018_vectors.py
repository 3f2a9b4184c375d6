"""Vectors: which embedder made an entry's, what a changed one outdates, reservations that are not a run's, and words within a tenant.

The table of vectors itself is made by `migrations.vectors`: not every server can keep them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Entries of all tenants, hence with the rights of the owner: it tells how many changed, and nothing of them.
_OUTDATE = """
CREATE FUNCTION knowledge_outdate(configured varchar, most integer) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
WITH wrong AS (
    SELECT e.id FROM public.knowledge_entries e JOIN public.knowledge_details d ON d.entry_id = e.id
     WHERE e.status = 'active' AND d.settled >= d.wanted
       AND (e.knowledge_status = 'indexed' AND configured IS NOT NULL AND d.embedder IS DISTINCT FROM configured
            OR e.knowledge_status = 'outdated' AND (configured IS NULL OR d.embedder = configured))
     LIMIT most FOR UPDATE OF e SKIP LOCKED
), changed AS (
    UPDATE public.knowledge_entries e SET knowledge_status = CASE e.knowledge_status WHEN 'indexed' THEN 'outdated' ELSE 'indexed' END,
           updated_at = clock_timestamp()
      FROM wrong WHERE e.id = wrong.id
    RETURNING 1
)
SELECT count(*)::integer FROM changed
$body$
"""
# The tenants that have files, of which the caller sees one or all. Empty is the operator's own.
_TENANTS = """
CREATE FUNCTION knowledge_tenants(visible varchar, after varchar, configured varchar, most integer)
RETURNS TABLE (tenant_id varchar, files bigint, failed bigint, outdated bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
SELECT e.tenant_id, count(*), count(*) FILTER (WHERE e.knowledge_status = 'failed'),
       count(*) FILTER (WHERE e.knowledge_status = 'outdated'
                           OR e.knowledge_status = 'indexed' AND configured IS NOT NULL AND d.embedder IS DISTINCT FROM configured)
  FROM public.knowledge_entries e JOIN public.knowledge_details d ON d.entry_id = e.id
 WHERE e.status <> 'deleted' AND (visible IS NULL OR e.tenant_id = visible) AND (after IS NULL OR e.tenant_id > after)
 GROUP BY e.tenant_id ORDER BY e.tenant_id LIMIT most
$body$
"""

# Whose a chunk is stands among its words, as one that no text has: the index then finds words within the tenant, where it found those of
# all tenants, of which most were thrown away. What has only some of the words is looked for where too few have all of them. A query
# without words finds nothing, and not all that is the tenant's.
_WORDS = "to_tsvector('english'::regconfig, coalesce(heading, '') || ' ' || content)"
_WORDS_OF_THE_TENANT = f"{_WORDS} || array_to_tsvector(ARRAY['tenant ' || tenant_id])"
_SIGNATURE = """
CREATE OR REPLACE FUNCTION knowledge_matches(
    tenant varchar, strict tsquery, loose tsquery, collections varchar[], agents boolean, kind varchar, wanted jsonb
) RETURNS TABLE (entry_id uuid, ordinal integer, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
"""
_WITHIN = r"""
WITH best AS MATERIALIZED (
    SELECT c.entry_id, c.ordinal, 1 + ts_rank(c.words, strict) AS rank
      FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
     WHERE c.tenant_id = tenant AND numnode(strict) > 0 AND c.words @@ (strict && ({own})::tsquery) AND {wanted}
     LIMIT 500
)
SELECT f.entry_id, f.ordinal, max(f.rank) AS rank FROM (
    SELECT b.entry_id, b.ordinal, b.rank FROM best b
    UNION ALL
    (SELECT c.entry_id, c.ordinal, ts_rank(c.words, loose) AS rank
       FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
      WHERE (SELECT count(*) FROM best) < 100 AND c.tenant_id = tenant AND numnode(loose) > 0
        AND c.words @@ (loose && ({own})::tsquery) AND {wanted}
      LIMIT 500)
) f GROUP BY f.entry_id, f.ordinal ORDER BY 3 DESC LIMIT 100
$body$
"""
_AMONG_ALL = """
SELECT f.entry_id, f.ordinal, max(f.rank) AS rank FROM (
    (SELECT c.entry_id, c.ordinal, 1 + ts_rank(c.words, strict) AS rank
       FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
      WHERE c.tenant_id = tenant AND c.words @@ strict AND {wanted}
      LIMIT 500)
    UNION ALL
    (SELECT c.entry_id, c.ordinal, ts_rank(c.words, loose) AS rank
       FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
      WHERE c.tenant_id = tenant AND c.words @@ loose AND {wanted}
      LIMIT 500)
) f GROUP BY f.entry_id, f.ordinal ORDER BY 3 DESC LIMIT 100
$body$
"""
_WANTED = """e.status = 'active'
       AND (collections IS NULL OR e.collection_id = ANY (collections) OR agents AND e.file_type = 'company')
       AND (kind IS NULL OR e.file_type = kind) AND (wanted IS NULL OR e.metadata @> wanted)"""
_OWN = r"""'''tenant ' || replace(replace(tenant, '\', '\\'), '''', '''''') || ''''"""


def upgrade() -> None:
    op.add_column("knowledge_details", sa.Column("embedder", sa.String(length=255)))
    op.add_column(
        "budget_reservations",
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
    )
    _look_for_words(_WORDS_OF_THE_TENANT, _WITHIN)
    op.execute(_OUTDATE)
    op.execute(_TENANTS)
    for function in ("knowledge_outdate", "knowledge_tenants"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS knowledge_vectors")
    op.execute("DROP FUNCTION knowledge_tenants")
    op.execute("DROP FUNCTION knowledge_outdate")
    _look_for_words(_WORDS, _AMONG_ALL)
    op.drop_column("budget_reservations", "made_at")
    op.drop_column("knowledge_details", "embedder")


def _look_for_words(words: str, body: str) -> None:
    """Make the column anew: not every server that we run on can change what generates it."""
    op.drop_column("knowledge_chunks", "words")
    op.add_column("knowledge_chunks", sa.Column("words", postgresql.TSVECTOR(), sa.Computed(words, persisted=True), nullable=False))
    op.create_index("ix_knowledge_chunks_words", "knowledge_chunks", ["words"], postgresql_using="gin")
    op.execute(_SIGNATURE + body.format(wanted=_WANTED, own=_OWN))
