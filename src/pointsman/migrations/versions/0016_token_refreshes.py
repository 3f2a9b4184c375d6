"""How users' OAuth tokens are kept fresh."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oauth_connections",
        sa.Column("token_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'established'"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("asks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.Column("refreshed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('established', 'reauth_required')", name=op.f("ck_oauth_connections_status")),
        sa.ForeignKeyConstraint(["token_id"], ["user_tokens.id"], name=op.f("fk_oauth_connections_token_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_oauth_connections")),
    )


def downgrade() -> None:
    op.drop_table("oauth_connections")
