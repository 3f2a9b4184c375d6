"""Retention: how far each sweep is, what history needs of runs that have expired, and the indexes that sweeps go by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention_marks",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("place", sa.Text()),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_retention_marks")),
    )
    op.create_table(
        "past_turns",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_past_turns_tenant_id_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_past_turns")),
    )
    op.create_index("ix_past_turns_session", "past_turns", ["tenant_id", "session_id", "ordinal"])
    op.create_index(
        "ix_runs_completed_at_ordinal", "runs", ["completed_at", "ordinal"], postgresql_where=sa.text("completed_at IS NOT NULL")
    )
    op.create_index("ix_runs_snapshot", "runs", ["snapshot"])


def downgrade() -> None:
    """Turns of expired runs leave the history, as the runs themselves did."""
    op.drop_index("ix_runs_snapshot", table_name="runs")
    op.drop_index("ix_runs_completed_at_ordinal", table_name="runs")
    op.drop_table("past_turns")
    op.drop_table("retention_marks")
