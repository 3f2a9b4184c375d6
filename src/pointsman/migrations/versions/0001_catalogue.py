"""The thirteen tables of the schema's document, with their indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# An INTEGER key that starts at 1 lasts a month at 800 calls a second: the negative half counts too.
USAGE_SEQUENCE = "CREATE SEQUENCE token_usage_id_seq START WITH -2147483648 MINVALUE -2147483648 MAXVALUE 2147483647"


def upgrade() -> None:
    op.execute("CREATE SCHEMA prompts")
    op.execute(USAGE_SEQUENCE)
    _create_prompts()
    _create_agents_and_teams()
    _create_usage()
    _create_knowledge()
    _create_credentials_and_keys()
    _create_skills()
    _create_supervised_work()
    _create_execution()


def downgrade() -> None:
    op.drop_table("team_agent")
    op.drop_table("execution_jobs")
    op.drop_table("user_tokens")
    op.drop_table("token_usage")
    op.drop_table("team_info")
    op.drop_table("supervisor_runs")
    op.drop_table("skills")
    op.drop_table("prompts", schema="prompts")
    op.drop_table("knowledge_entries")
    op.drop_table("execution_targets")
    op.drop_table("execution_engines")
    op.drop_table("api_keys")
    op.drop_table("agent_info")
    op.execute("DROP SEQUENCE token_usage_id_seq")
    op.execute("DROP SCHEMA prompts")


def _create_prompts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("tools", sa.Text(), server_default="[]", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
        schema="prompts",
    )


def _create_agents_and_teams() -> None:
    op.create_table(
        "agent_info",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("version", sa.String(), server_default="2.0", nullable=False),
        sa.Column("prompt_service_id", sa.String()),
        sa.Column("tags", sa.String(), server_default="[]", nullable=False),
        sa.Column("config", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_info")),
    )
    op.create_table(
        "team_info",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("version", sa.String(), server_default="2.0", nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("mode IN ('coordinate', 'supervisor')", name=op.f("ck_team_info_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team_info")),
    )
    op.create_table(
        "team_agent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("role", sa.String()),
        sa.Column("order_index", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent_info.id"], name=op.f("fk_team_agent_agent_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team_info.id"], name=op.f("fk_team_agent_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team_agent")),
    )
    op.create_index("uq_team_agent_live", "team_agent", ["team_id", "agent_id"], unique=True, postgresql_where=sa.text("is_active"))


def _create_usage() -> None:
    op.create_table(
        "token_usage",
        sa.Column("id", sa.Integer(), server_default=sa.text("nextval('token_usage_id_seq')"), nullable=False),
        sa.Column("agent_id", sa.String()),
        sa.Column("session_id", sa.String()),
        sa.Column("user_id", sa.String()),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("total_tokens", sa.Integer(), nullable=False),
        sa.Column("is_estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_usage")),
    )
    op.create_index("ix_token_usage_created_at", "token_usage", ["created_at"])
    op.create_index("ix_token_usage_session_id", "token_usage", ["session_id"])


def _create_knowledge() -> None:
    op.create_table(
        "knowledge_entries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("collection_id", sa.String(length=255)),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("original_filename", sa.String(length=500), nullable=False),
        sa.Column("file_type", sa.String(length=50), nullable=False),
        sa.Column("content_type", sa.String(length=200)),
        sa.Column("gcs_path", sa.String(length=1000)),
        sa.Column("status", sa.String(length=50), server_default="pending", nullable=False),
        sa.Column("knowledge_status", sa.String(length=50)),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("file_type IN ('company', 'project')", name=op.f("ck_knowledge_entries_file_type")),
        sa.CheckConstraint(
            "knowledge_status IN ('indexing', 'indexed', 'failed', 'outdated')", name=op.f("ck_knowledge_entries_knowledge_status")
        ),
        sa.CheckConstraint("status IN ('pending', 'processing', 'active', 'failed', 'deleted')", name=op.f("ck_knowledge_entries_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_entries")),
        sa.UniqueConstraint("tenant_id", "file_id", name=op.f("uq_knowledge_entries_tenant_id_file_id")),
    )


def _create_credentials_and_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("owner_id", sa.String(length=255)),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("rate_limit", sa.Integer(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("rate_limit >= 0", name=op.f("ck_api_keys_rate_limit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index("uq_api_keys_key_hash", "api_keys", ["key_hash"], unique=True)
    op.create_table(
        "user_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("integration_key", sa.String(length=100), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("token_type", sa.String(length=20), nullable=False),
        sa.Column("encrypted_token_data", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.String()), server_default=sa.text("'{}'::varchar[]"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("token_type IN ('oauth2', 'api_key', 'jwt')", name=op.f("ck_user_tokens_token_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_tokens")),
        sa.UniqueConstraint("user_id", "integration_key", name=op.f("uq_user_tokens_user_id_integration_key")),
    )


def _create_skills() -> None:
    op.create_table(
        "skills",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("category", sa.String()),
        sa.Column("references", sa.Text(), server_default="[]", nullable=False),
        sa.Column("scripts", sa.Text(), server_default="[]", nullable=False),
        sa.Column("allowed_tools", sa.Text(), server_default="[]", nullable=False),
        sa.Column("tags", sa.String(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skills")),
    )


def _create_supervised_work() -> None:
    op.create_table(
        "supervisor_runs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String()),
        sa.Column("user_id", sa.String()),
        sa.Column("user_message", sa.Text(), nullable=False),
        sa.Column("supervisor_response", postgresql.JSONB()),
        sa.Column("worker_agent_id", sa.String()),
        sa.Column("execution_engine", sa.String()),
        sa.Column("status", sa.String(), server_default="pending", nullable=False),
        sa.Column("execution_output", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name=op.f("ck_supervisor_runs_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supervisor_runs")),
    )
    op.create_table(
        "execution_jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("supervisor_run_id", sa.Uuid()),
        sa.Column("worker_config", postgresql.JSONB()),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("execution_target", postgresql.JSONB()),
        sa.Column("status", sa.String(), server_default="queued", nullable=False),
        sa.Column("result", postgresql.JSONB()),
        sa.Column("container_id", sa.String()),
        sa.Column("target_host", sa.String()),
        sa.Column("retry_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("memory_limit_mb", sa.Integer()),
        sa.Column("last_failure_reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("timeout_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'awaiting_approval', 'completed', 'failed', 'oom', 'failed_circuit_open')",
            name=op.f("ck_execution_jobs_status"),
        ),
        sa.ForeignKeyConstraint(["supervisor_run_id"], ["supervisor_runs.id"], name=op.f("fk_execution_jobs_supervisor_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_jobs")),
    )


def _create_execution() -> None:
    op.create_table(
        "execution_engines",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), server_default="anthropic", nullable=False),
        sa.Column("handler_config", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("type IN ('code_agent', 'managed_agent', 'direct_ops', 'custom')", name=op.f("ck_execution_engines_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_engines")),
    )
    op.create_index(
        "uq_execution_engines_default",
        "execution_engines",
        ["is_default"],
        unique=True,
        postgresql_where=sa.text("is_default AND is_active"),
    )
    op.create_table(
        "execution_targets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("connection_config", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("capacity", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("worker_pool", sa.String(), server_default="linux_worker_pool", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "type IN ('local', 'docker', 'kubernetes', 'ssh', 'remote_service', 'managed_agents')", name=op.f("ck_execution_targets_type")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_targets")),
    )
