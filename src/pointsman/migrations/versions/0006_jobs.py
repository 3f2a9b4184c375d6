"""Jobs: what their row has no column for, attempts, events, workspaces, learned memory, the state machine's guard, and the queue."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import await_only

from pointsman.jobs.queue.schema import INSTALL, UNINSTALL

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION guard_job_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'queued' THEN
            RAISE EXCEPTION 'a job begins as queued, not as %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NOT (OLD.status, NEW.status) IN (
        ('queued', 'running'), ('queued', 'failed'), ('queued', 'failed_circuit_open'),
        ('running', 'queued'), ('running', 'awaiting_approval'), ('running', 'completed'), ('running', 'failed'), ('running', 'oom'),
        ('running', 'failed_circuit_open'),
        ('awaiting_approval', 'queued'), ('awaiting_approval', 'failed'),
        ('failed', 'queued'), ('oom', 'queued'), ('failed_circuit_open', 'queued')
    ) THEN
        RAISE EXCEPTION 'a job that is % cannot become %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    _create_details()
    _create_attempts()
    _create_the_rest()
    op.create_index(
        "ix_execution_jobs_supervisor_run_id",
        "execution_jobs",
        ["supervisor_run_id"],
        postgresql_where=sa.text("supervisor_run_id IS NOT NULL"),
    )
    op.create_index(
        "ix_execution_jobs_completed_at_id", "execution_jobs", ["completed_at", "id"], postgresql_where=sa.text("completed_at IS NOT NULL")
    )
    op.create_index("ix_execution_jobs_live", "execution_jobs", ["id"], postgresql_where=sa.text("completed_at IS NULL"))
    op.execute(_GUARD)
    op.execute("CREATE TRIGGER guard_new_job BEFORE INSERT ON execution_jobs FOR EACH ROW EXECUTE FUNCTION guard_job_status()")
    op.execute(
        "CREATE TRIGGER guard_job_status BEFORE UPDATE OF status ON execution_jobs FOR EACH ROW"
        " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION guard_job_status()"
    )
    _run_script(INSTALL)


def downgrade() -> None:
    _run_script(UNINSTALL)
    op.execute("DROP TRIGGER guard_job_status ON execution_jobs")
    op.execute("DROP TRIGGER guard_new_job ON execution_jobs")
    op.execute("DROP FUNCTION guard_job_status()")
    op.drop_index("ix_execution_jobs_live", table_name="execution_jobs")
    op.drop_index("ix_execution_jobs_completed_at_id", table_name="execution_jobs")
    op.drop_index("ix_execution_jobs_supervisor_run_id", table_name="execution_jobs")
    op.drop_table("job_memory")
    op.drop_table("job_workspaces")
    op.drop_table("job_events")
    op.drop_table("job_attempts")
    op.drop_table("job_details")


def _create_details() -> None:
    op.create_table(
        "job_details",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.Integer()),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("agent_id", sa.String(length=255)),
        sa.Column("run_id", sa.String(length=64)),
        sa.Column("engine_id", sa.String(length=255)),
        sa.Column("target_id", sa.String(length=255)),
        sa.Column("worker_pool", sa.String(length=255), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="5", nullable=False),
        sa.Column("kind", sa.String(length=300), nullable=False),
        sa.Column("job_spec", postgresql.JSON(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("most_memory_mb", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Double[float](), nullable=False),
        sa.Column("remaining_seconds", sa.Double[float]()),
        sa.Column("explicit_memory", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.Column("parked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("parked_on", sa.String(length=255)),
        sa.Column("parked_limit", sa.Integer()),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("output_bytes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("checkpoint", postgresql.JSON()),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name=op.f("ck_job_details_priority")),
        sa.ForeignKeyConstraint(["job_id"], ["execution_jobs.id"], name=op.f("fk_job_details_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_details")),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index("uq_job_details_ordinal", "job_details", ["ordinal"], unique=True)
    op.create_index("ix_job_details_tenant", "job_details", ["tenant_id", "ordinal"])
    op.create_index("ix_job_details_run_id", "job_details", ["run_id"], postgresql_where=sa.text("run_id IS NOT NULL"))
    op.create_index(
        "ix_job_details_parked_on",
        "job_details",
        ["parked_on", sa.text("priority DESC"), "ordinal"],
        postgresql_where=sa.text("parked"),
    )
    op.create_index(
        "ix_job_details_parked_pool",
        "job_details",
        ["worker_pool", sa.text("priority DESC"), "ordinal"],
        postgresql_where=sa.text("parked AND target_id IS NULL"),
    )


def _create_attempts() -> None:
    op.create_table(
        "job_attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=20), server_default="running", nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("engine_id", sa.String(length=255), nullable=False),
        sa.Column("target_id", sa.String(length=255), nullable=False),
        sa.Column("worker_pool", sa.String(length=255), nullable=False),
        sa.Column("handle", sa.String(length=100), nullable=False),
        sa.Column("memory_limit_mb", sa.Integer(), nullable=False),
        sa.Column("peak_memory_mb", sa.Integer()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.Column("evidence", postgresql.JSON()),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'oom', 'lost', 'paused', 'open')", name=op.f("ck_job_attempts_status")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["execution_jobs.id"], name=op.f("fk_job_attempts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "epoch", name=op.f("pk_job_attempts")),
    )
    running = sa.text("status = 'running'")
    op.create_index("uq_job_attempts_running", "job_attempts", ["job_id"], unique=True, postgresql_where=running)
    op.create_index("ix_job_attempts_running_target", "job_attempts", ["target_id"], postgresql_where=running)
    op.create_index("ix_job_attempts_running_pool", "job_attempts", ["worker_pool"], postgresql_where=running)


def _create_the_rest() -> None:
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("data", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["execution_jobs.id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_job_events")),
    )
    op.create_table(
        "job_workspaces",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("kind IN ('in', 'checkpoint', 'out')", name=op.f("ck_job_workspaces_kind")),
        sa.ForeignKeyConstraint(["job_id"], ["execution_jobs.id"], name=op.f("fk_job_workspaces_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "kind", name=op.f("pk_job_workspaces")),
    )
    op.create_table(
        "job_memory",
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("engine_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=300), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("clean_runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("most_seen_mb", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "engine_id", "kind", name=op.f("pk_job_memory")),
    )


def _run_script(script: str) -> None:
    """Several statements at once, which only the driver's own connection takes; in the migration's transaction all the same."""
    driver: Any = op.get_bind().connection.driver_connection
    await_only(driver.execute(script))
