"""Erasure: exports that were read to their end, erasures and how far they are, and the indexes by which a user is found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "data_exports",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("completed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_exports")),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("export_id", sa.String(length=64)),
        sa.Column("requested_by", sa.Integer(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('running', 'completed')", name=op.f("ck_erasures_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(
        "uq_erasures_running",
        "erasures",
        ["tenant_id", sa.text("coalesce(user_id, '')")],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index("ix_sessions_user", "sessions", ["tenant_id", "user_id", "id"])
    op.create_index("ix_token_usage_user_id", "token_usage", ["user_id"], postgresql_where=sa.text("user_id IS NOT NULL"))
    op.drop_index("ix_usage_details_tenant_id", table_name="usage_details")
    op.create_index("ix_usage_details_tenant_id", "usage_details", ["tenant_id", "usage_id"])


def downgrade() -> None:
    op.drop_index("ix_usage_details_tenant_id", table_name="usage_details")
    op.create_index("ix_usage_details_tenant_id", "usage_details", ["tenant_id"])
    op.drop_index("ix_token_usage_user_id", table_name="token_usage")
    op.drop_index("ix_sessions_user", table_name="sessions")
    op.drop_table("erasures")
    op.drop_table("data_exports")
