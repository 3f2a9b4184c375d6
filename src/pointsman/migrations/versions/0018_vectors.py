"""Vectors: which embedder made an entry's, what a changed one outdates, and reservations that are not a run's.

The table of vectors itself is made by `migrations.vectors`: not every server can keep them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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


def upgrade() -> None:
    op.add_column("knowledge_details", sa.Column("embedder", sa.String(length=255)))
    op.add_column(
        "budget_reservations",
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
    )
    op.execute(_OUTDATE)
    op.execute(_TENANTS)
    for function in ("knowledge_outdate", "knowledge_tenants"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS knowledge_vectors")
    op.execute("DROP FUNCTION knowledge_tenants")
    op.execute("DROP FUNCTION knowledge_outdate")
    op.drop_column("budget_reservations", "made_at")
    op.drop_column("knowledge_details", "embedder")
