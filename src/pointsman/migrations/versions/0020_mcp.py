"""MCP servers, what was approved of them, and calls that left the gateway."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mcp_servers",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), server_default="{}", nullable=False),
        sa.Column("connect_seconds", sa.Float(), nullable=False),
        sa.Column("call_seconds", sa.Float(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mcp_servers")),
    )
    op.create_table(
        "mcp_pins",
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("server_id", sa.String(length=255), nullable=False),
        sa.Column("tools", sa.Text()),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("approved_by", sa.String(length=255)),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.Column("proposal", sa.Text()),
        sa.Column("proposal_sha256", sa.String(length=64)),
        sa.Column("proposed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("type IN ('http', 'stdio')", name=op.f("ck_mcp_pins_type")),
        sa.PrimaryKeyConstraint("type", "server_id", name=op.f("pk_mcp_pins")),
    )
    op.create_table(
        "sent_calls",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("call_id", sa.String(length=200), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_sent_calls_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step", "call_id", name=op.f("pk_sent_calls")),
    )


def downgrade() -> None:
    op.drop_table("sent_calls")
    op.drop_table("mcp_pins")
    op.drop_table("mcp_servers")
