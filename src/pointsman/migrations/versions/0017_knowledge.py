"""Knowledge: how entries are indexed, their chunks, objects that nobody refers to, and tenants kept apart row by row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_OF_TENANTS = ("knowledge_entries", "knowledge_details", "knowledge_chunks")
# Row-level security keeps an index on words from being used: `@@` is not leakproof, so it is only asked of rows that the policy let pass.
# The function looks with the rights of its owner, within the one tenant it is told; what it found is read under the policy.
_MATCHES = """
CREATE FUNCTION knowledge_matches(
    tenant varchar, strict tsquery, loose tsquery, collections varchar[], agents boolean, kind varchar, wanted jsonb
) RETURNS TABLE (entry_id uuid, ordinal integer, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
SELECT f.entry_id, f.ordinal, max(f.rank) AS rank FROM (
    (SELECT c.entry_id, c.ordinal, 1 + ts_rank(c.words, strict) AS rank
       FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
      WHERE c.tenant_id = tenant AND c.words @@ strict AND e.status = 'active'
        AND (collections IS NULL OR e.collection_id = ANY (collections) OR agents AND e.file_type = 'company')
        AND (kind IS NULL OR e.file_type = kind) AND (wanted IS NULL OR e.metadata @> wanted)
      LIMIT 500)
    UNION ALL
    (SELECT c.entry_id, c.ordinal, ts_rank(c.words, loose) AS rank
       FROM public.knowledge_chunks c JOIN public.knowledge_entries e ON e.id = c.entry_id
      WHERE c.tenant_id = tenant AND c.words @@ loose AND e.status = 'active'
        AND (collections IS NULL OR e.collection_id = ANY (collections) OR agents AND e.file_type = 'company')
        AND (kind IS NULL OR e.file_type = kind) AND (wanted IS NULL OR e.metadata @> wanted)
      LIMIT 500)
) f GROUP BY f.entry_id, f.ordinal ORDER BY 3 DESC LIMIT 100
$body$
"""


def upgrade() -> None:
    op.create_index("ix_knowledge_entries_tenant_created", "knowledge_entries", ["tenant_id", "created_at", "id"])
    op.create_table(
        "knowledge_details",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Integer()),
        sa.Column("wanted", sa.Integer(), server_default="1", nullable=False),
        sa.Column("settled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("step", sa.String(length=20), server_default="queued", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("chunks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", postgresql.JSON()),
        sa.Column("indexed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["entry_id"], ["knowledge_entries.id"], name=op.f("fk_knowledge_details_entry_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_knowledge_details")),
    )
    op.create_index("ix_knowledge_details_tenant_sha256", "knowledge_details", ["tenant_id", "sha256"])
    op.create_table(
        "knowledge_chunks",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("page", sa.Integer()),
        sa.Column("heading", sa.Text()),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english'::regconfig, coalesce(heading, '') || ' ' || content)", persisted=True),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["entry_id"], ["knowledge_entries.id"], name=op.f("fk_knowledge_chunks_entry_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("entry_id", "ordinal", name=op.f("pk_knowledge_chunks")),
    )
    op.create_index("ix_knowledge_chunks_words", "knowledge_chunks", ["words"], postgresql_using="gin")
    op.create_index("ix_knowledge_chunks_tenant_id", "knowledge_chunks", ["tenant_id"])
    op.create_table(
        "knowledge_leftovers",
        sa.Column("uri", sa.String(length=1000), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_knowledge_leftovers")),
    )
    op.create_index("ix_knowledge_leftovers_due_at", "knowledge_leftovers", ["due_at"])
    for table in _OF_TENANTS:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} USING (tenant_id = (SELECT current_setting('pointsman.tenant', true)))")
    op.execute(_MATCHES)
    op.execute("REVOKE ALL ON FUNCTION knowledge_matches FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION knowledge_matches")
    for table in _OF_TENANTS:
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_table("knowledge_leftovers")
    op.drop_table("knowledge_chunks")
    op.drop_table("knowledge_details")
    op.drop_index("ix_knowledge_entries_tenant_created", "knowledge_entries")
