"""Users connect accounts themselves, and each use of a credential is on record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "token_connects",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("integration_key", sa.String(length=100), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.String()), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("start_hash", sa.String(length=64), nullable=False),
        sa.Column("state_hash", sa.String(length=64)),
        sa.Column("browser_hash", sa.String(length=64)),
        sa.Column("encrypted_verifier", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("failure", sa.String(length=500)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'opened', 'exchanging', 'connected', 'failed')", name=op.f("ck_token_connects_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_connects")),
        sa.UniqueConstraint("start_hash", name=op.f("uq_token_connects_start_hash")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_token_connects_state_hash")),
    )
    op.create_index("ix_token_connects_expires_at", "token_connects", ["expires_at"])
    op.create_index("ix_token_connects_user", "token_connects", ["tenant_id", "user_id"])
    op.create_table(
        "token_uses",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("integration_key", sa.String(length=100), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("tool", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_uses")),
    )
    op.create_index("ix_token_uses_token", "token_uses", ["tenant_id", "user_id", "integration_key", "id"])
    op.create_index("ix_token_uses_at", "token_uses", ["at"])


def downgrade() -> None:
    op.drop_table("token_uses")
    op.drop_table("token_connects")
