"""Budgets: what is allowed, what of it is used, and what calls under way hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AMOUNT = sa.Numeric(precision=24, scale=9)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255)),
        sa.Column("subject_type", sa.String(length=10), nullable=False),
        sa.Column("subject_id", sa.String(length=255), nullable=False),
        sa.Column("family_id", sa.Integer()),
        sa.Column("unit", sa.String(length=10), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("by_operator", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("subject_type IN ('key', 'tenant', 'user', 'agent')", name=op.f("ck_budgets_subject_type")),
        sa.CheckConstraint("unit IN ('tokens', 'cost')", name=op.f("ck_budgets_unit")),
        sa.CheckConstraint("period IN ('day', 'month')", name=op.f("ck_budgets_period")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_budgets")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_budgets_tenant_id_id")),
    )
    op.create_index("ix_budgets_version", "budgets", ["version"])
    op.create_index("uq_budgets_operator_id", "budgets", ["id"], unique=True, postgresql_where=sa.text("by_operator AND is_active"))
    op.create_table(
        "budget_counters",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("amount", _AMOUNT, nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent", _AMOUNT, server_default="0", nullable=False),
        sa.Column("reserved", _AMOUNT, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["number"], ["budgets.number"], name=op.f("fk_budget_counters_number"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_budget_counters")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "budget_reservations",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", _AMOUNT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "epoch", "slot", "number", name=op.f("pk_budget_reservations")),
    )


def downgrade() -> None:
    op.drop_table("budget_reservations")
    op.drop_table("budget_counters")
    op.drop_table("budgets")
