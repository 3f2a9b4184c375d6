"""Approvals, and runs that go on after a pause."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("resumptions", sa.Integer(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("resumed_epoch", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("key_id", sa.Integer()),
        sa.Column("run_id", sa.String(length=64)),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(length=255), nullable=False),
        sa.Column("tool_name", sa.String(length=255), nullable=False),
        sa.Column("tool_args", postgresql.JSON(), nullable=False),
        sa.Column("args_sha256", sa.String(length=64), nullable=False),
        sa.Column("edited_args", postgresql.JSON()),
        sa.Column("edited_sha256", sa.String(length=64)),
        sa.Column("rules", postgresql.JSON(), nullable=False),
        sa.Column("parameters", postgresql.JSON()),
        sa.Column("risk_level", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), server_default="pending", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=255)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("note", sa.Text()),
        sa.CheckConstraint("status IN ('pending', 'approved', 'denied', 'expired', 'cancelled')", name=op.f("ck_approvals_status")),
        sa.CheckConstraint("risk_level IN ('low', 'medium', 'high')", name=op.f("ck_approvals_risk_level")),
        sa.CheckConstraint("run_id IS NOT NULL OR job_id IS NOT NULL", name=op.f("ck_approvals_owner")),
        sa.CheckConstraint("(status IN ('pending', 'cancelled')) = (decided_at IS NULL)", name=op.f("ck_approvals_decided")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_approvals_run_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["execution_jobs.id"], name=op.f("fk_approvals_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index("uq_approvals_ordinal", "approvals", ["ordinal"], unique=True)
    op.create_index(
        "uq_approvals_run_call", "approvals", ["run_id", "step", "call_id"], unique=True, postgresql_where=sa.text("job_id IS NULL")
    )
    op.create_index(
        "uq_approvals_job_call", "approvals", ["job_id", "step", "call_id"], unique=True, postgresql_where=sa.text("job_id IS NOT NULL")
    )
    op.create_index("ix_approvals_tenant_ordinal", "approvals", ["tenant_id", "ordinal"])
    op.create_index("ix_approvals_run_ordinal", "approvals", ["run_id", "ordinal"])
    op.create_index("ix_approvals_pending", "approvals", ["expires_at"], postgresql_where=sa.text("status = 'pending'"))


def downgrade() -> None:
    op.drop_table("approvals")
    op.drop_column("runs", "resumed_epoch")
    op.drop_column("runs", "resumptions")
