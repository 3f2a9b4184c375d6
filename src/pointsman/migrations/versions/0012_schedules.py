"""Schedules, and the times that came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255)),
        sa.Column("subject_type", sa.String(length=10), nullable=False),
        sa.Column("subject_id", sa.String(length=255), nullable=False),
        sa.Column("cron", sa.String(length=255), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("missed", sa.String(length=10), nullable=False),
        sa.Column("request", postgresql.JSON(), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("subject_type IN ('agent', 'team')", name=op.f("ck_schedules_subject_type")),
        sa.CheckConstraint("missed IN ('skip', 'once')", name=op.f("ck_schedules_missed")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_schedules")),
    )
    op.create_index("ix_schedules_next_at", "schedules", ["next_at"], postgresql_where=sa.text("is_active AND NOT paused"))
    op.create_table(
        "schedule_fires",
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("schedule_id", sa.String(length=255), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("problem", postgresql.JSON()),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'started', 'skipped', 'failed')", name=op.f("ck_schedule_fires_status")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "schedule_id"],
            ["schedules.tenant_id", "schedules.id"],
            name=op.f("fk_schedule_fires_tenant_id_schedule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "schedule_id", "due_at", name=op.f("pk_schedule_fires")),
    )
    op.create_index("ix_schedule_fires_pending", "schedule_fires", ["held_until"], postgresql_where=sa.text("status = 'pending'"))
    op.create_index("ix_schedule_fires_due_at", "schedule_fires", ["due_at"])


def downgrade() -> None:
    op.drop_table("schedule_fires")
    op.drop_table("schedules")
