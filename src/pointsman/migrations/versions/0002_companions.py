"""The companion tables: what the thirteen have no column for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_prompt_history()
    _create_agent_prompts()
    _create_key_companions()
    _create_usage_details()
    _create_runs()
    _create_sessions()
    _create_audit()
    _create_edge()


def downgrade() -> None:
    op.drop_table("run_events")
    op.drop_table("prompt_labels", schema="prompts")
    op.drop_table("usage_details")
    op.drop_table("runs")
    op.drop_table("prompt_versions", schema="prompts")
    op.drop_table("messages")
    op.drop_table("api_key_lineage")
    op.drop_table("agent_prompts")
    op.drop_table("sessions")
    op.drop_table("run_snapshots")
    op.drop_table("replicas")
    op.drop_table("rate_windows")
    op.drop_table("memories")
    op.drop_table("key_canary")
    op.drop_table("idempotency_keys")
    op.drop_table("audit_log")
    op.drop_table("audit_head")


def _create_prompt_history() -> None:
    op.create_table(
        "prompt_versions",
        sa.Column("prompt_id", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("tools", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.prompts.id"], name=op.f("fk_prompt_versions_prompt_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("prompt_id", "version", name=op.f("pk_prompt_versions")),
        schema="prompts",
    )
    op.create_table(
        "prompt_labels",
        sa.Column("prompt_id", sa.String(length=255), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id", "version"],
            ["prompts.prompt_versions.prompt_id", "prompts.prompt_versions.version"],
            name=op.f("fk_prompt_labels_prompt_id_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prompt_id", "label", name=op.f("pk_prompt_labels")),
        schema="prompts",
    )


def _create_agent_prompts() -> None:
    op.create_table(
        "agent_prompts",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("pinned_version", sa.Integer()),
        sa.Column("pinned_label", sa.String(length=255)),
        sa.Column("made_prompt", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("pinned_version IS NULL OR pinned_label IS NULL", name=op.f("ck_agent_prompts_one_pin")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent_info.id"], name=op.f("fk_agent_prompts_agent_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_prompts")),
    )


def _create_key_companions() -> None:
    op.create_table(
        "rate_windows",
        sa.Column("family_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("family_id", name=op.f("pk_rate_windows")),
    )
    op.create_table(
        "api_key_lineage",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("family_id", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.Integer()),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_api_key_lineage_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_key_lineage")),
    )


def _create_usage_details() -> None:
    op.create_table(
        "usage_details",
        sa.Column("usage_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String()),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Integer()),
        sa.Column("tenant_id", sa.String(length=255), server_default="", nullable=False),
        sa.Column("cached_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cache_write_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reasoning_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost", sa.Numeric(precision=18, scale=9)),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["usage_id"], ["token_usage.id"], name=op.f("fk_usage_details_usage_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("usage_id", name=op.f("pk_usage_details")),
        sa.UniqueConstraint("run_id", "call", name=op.f("uq_usage_details_run_id_call")),
    )
    op.create_index("ix_usage_details_key_id", "usage_details", ["key_id"])
    op.create_index("ix_usage_details_tenant_id", "usage_details", ["tenant_id"])


def _create_runs() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.create_table(
        "run_snapshots",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("data", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_run_snapshots")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("key_id", sa.Integer()),
        sa.Column("request", postgresql.JSON(), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("stream_verbosity", sa.String(length=10), server_default="events", nullable=False),
        sa.Column("replica", sa.String(length=64)),
        sa.Column("epoch", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reserved_seq", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("result", postgresql.JSON()),
        sa.Column("error", postgresql.JSON()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("kind IN ('chat', 'team', 'supervised')", name=op.f("ck_runs_kind")),
        sa.CheckConstraint("status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')", name=op.f("ck_runs_status")),
        sa.ForeignKeyConstraint(["snapshot"], ["run_snapshots.hash"], name=op.f("fk_runs_snapshot")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_live", "runs", ["replica"], postgresql_where=sa.text("status = 'running'"))
    op.create_index("ix_runs_session", "runs", ["tenant_id", "session_id", "ordinal"])
    op.create_index("ix_runs_tenant", "runs", ["tenant_id", "ordinal"])
    op.create_index("uq_runs_ordinal", "runs", ["ordinal"], unique=True)
    op.create_index(
        "uq_runs_session_live",
        "runs",
        ["tenant_id", "session_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'running', 'paused')"),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("data", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_events_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_run_events")),
    )


def _create_sessions() -> None:
    op.create_table(
        "memories",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("agent_id", sa.String(length=255), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=64)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
    )
    op.create_index("ix_memories_recall", "memories", ["tenant_id", "user_id", "agent_id", "created_at"])
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("agent_id", sa.String(length=255)),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_tenant_id_created_at", "sessions", ["tenant_id", "created_at", "id"])
    op.create_table(
        "messages",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("content", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_messages_tenant_id_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_session", "messages", ["tenant_id", "session_id", "created_at"])


def _create_audit() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seal_seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), server_default="", nullable=False),
        sa.Column("actor_key_id", sa.Integer()),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("object_type", sa.String(length=50), nullable=False),
        sa.Column("object_id", sa.String(length=600), nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("request_id", sa.String(length=100)),
        sa.Column("seal_seq", sa.BigInteger()),
        sa.Column("prev_hash", sa.String(length=64)),
        sa.Column("hash", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_tenant_id", "audit_log", ["tenant_id", "id"])
    op.create_index("ix_audit_log_unsealed", "audit_log", ["id"], postgresql_where=sa.text("seal_seq IS NULL"))
    op.create_index("uq_audit_log_seal_seq", "audit_log", ["seal_seq"], unique=True)


def _create_edge() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("answer", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", "method", "path", "idempotency_key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "key_canary",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_canary")),
    )
