"""Webhooks: endpoints, channels, deliveries, and the triggers that write what is to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_MOMENT = """
CREATE FUNCTION webhook_moment(moment timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
"""
# An argument or an error of somebody's may be large; whoever wants all of it reads the object.
_SHORT = """
CREATE FUNCTION webhook_short(given json) RETURNS json LANGUAGE sql IMMUTABLE
RETURN CASE WHEN octet_length(given::text) <= 16384 THEN given END
"""
_WANTED = """
CREATE FUNCTION webhook_wanted(tenant varchar, kind varchar) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM webhook_endpoints WHERE tenant_id = tenant AND is_active AND enabled AND kind = ANY (event_types))
$$
"""
# Each row of it is in the transaction of what it tells. JSON of others is copied as it stands: taking it apart could fail on what it holds.
_ENQUEUE = """
CREATE FUNCTION enqueue_webhooks(tenant varchar, for_user varchar, kind varchar, subject varchar, told json) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    event varchar := 'evt_' || replace(gen_random_uuid()::text, '-', '');
    body text := json_build_object('type', kind, 'timestamp', webhook_moment(clock_timestamp()), 'data', told)::text;
BEGIN
    INSERT INTO webhook_deliveries (id, tenant_id, user_id, endpoint_id, event_id, event_type, subject_id, payload)
    SELECT 'dlv_' || replace(gen_random_uuid()::text, '-', ''), tenant, for_user, id, event, kind, subject, body
    FROM webhook_endpoints WHERE tenant_id = tenant AND is_active AND enabled AND kind = ANY (event_types);
    IF kind = 'approval.requested' THEN
        INSERT INTO webhook_deliveries (id, tenant_id, user_id, channel_id, event_id, event_type, subject_id, payload)
        SELECT 'dlv_' || replace(gen_random_uuid()::text, '-', ''), tenant, for_user, id, event, kind, subject, body FROM notify_channels;
    END IF;
END $$
"""
_APPROVALS = """
CREATE FUNCTION tell_approval() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kind varchar := CASE WHEN NEW.status = 'pending' THEN 'approval.requested' ELSE 'approval.decided' END;
BEGIN
    IF webhook_wanted(NEW.tenant_id, kind) OR (kind = 'approval.requested' AND EXISTS (SELECT FROM notify_channels)) THEN
        PERFORM enqueue_webhooks(NEW.tenant_id, NEW.user_id, kind, NEW.id, json_build_object(
            'id', NEW.id, 'run_id', NEW.run_id, 'job_id', NEW.job_id, 'user_id', NEW.user_id, 'tool_name', NEW.tool_name,
            'tool_args', webhook_short(NEW.tool_args), 'args_sha256', NEW.args_sha256, 'edited_args', webhook_short(NEW.edited_args),
            'risk_level', NEW.risk_level, 'reason', NEW.reason, 'status', NEW.status, 'created_at', webhook_moment(NEW.created_at),
            'expires_at', webhook_moment(NEW.expires_at), 'decided_by', NEW.decided_by, 'decided_at', webhook_moment(NEW.decided_at),
            'note', NEW.note));
    END IF;
    RETURN NULL;
END $$
"""
_JOBS = """
CREATE FUNCTION tell_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE details record;
BEGIN
    SELECT * INTO details FROM job_details d WHERE d.job_id = NEW.id AND webhook_wanted(d.tenant_id, 'job.finished');
    IF FOUND THEN
        PERFORM enqueue_webhooks(details.tenant_id, details.user_id, 'job.finished', NEW.id::text, json_build_object(
            'id', NEW.id, 'run_id', details.run_id, 'user_id', details.user_id, 'status', NEW.status, 'engine_id', details.engine_id,
            'target_id', details.target_id, 'retry_count', NEW.retry_count, 'last_failure_reason', left(NEW.last_failure_reason, 2000),
            'created_at', webhook_moment(NEW.created_at), 'started_at', webhook_moment(NEW.started_at),
            'completed_at', webhook_moment(NEW.completed_at)));
    END IF;
    RETURN NULL;
END $$
"""
_RUNS = """
CREATE FUNCTION tell_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhook_wanted(NEW.tenant_id, 'run.' || NEW.status) THEN
        PERFORM enqueue_webhooks(NEW.tenant_id, NEW.user_id, 'run.' || NEW.status, NEW.id, json_build_object(
            'id', NEW.id, 'kind', NEW.kind, 'subject', NEW.subject, 'status', NEW.status, 'session_id', NEW.session_id,
            'user_id', NEW.user_id, 'error', webhook_short(NEW.error), 'created_at', webhook_moment(NEW.created_at),
            'completed_at', webhook_moment(NEW.completed_at)));
    END IF;
    RETURN NULL;
END $$
"""
_FUNCTIONS = (_MOMENT, _SHORT, _WANTED, _ENQUEUE, _APPROVALS, _JOBS, _RUNS)
_ENDED = "'completed', 'failed', 'oom', 'failed_circuit_open'"
_TRIGGERS = {
    "tell_approval_requested": "AFTER INSERT ON approvals FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION tell_approval()",
    "tell_approval_decided": "AFTER UPDATE OF status ON approvals FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status <> 'pending')"
    " EXECUTE FUNCTION tell_approval()",
    "tell_job_finished": f"AFTER UPDATE OF status ON execution_jobs FOR EACH ROW WHEN (NEW.status IN ({_ENDED})"
    " AND OLD.status <> NEW.status) EXECUTE FUNCTION tell_job()",
    "tell_run_ended": "AFTER UPDATE OF status ON runs FOR EACH ROW WHEN (NEW.status IN ('completed', 'failed', 'cancelled')"
    " AND OLD.status <> NEW.status AND NEW.parent_run_id IS NULL) EXECUTE FUNCTION tell_run()",
}


def upgrade() -> None:
    _create_endpoints()
    _create_deliveries()
    for function in _FUNCTIONS:
        op.execute(function)
    for name, trigger in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {trigger}")


def downgrade() -> None:
    for name, table in (
        ("tell_run_ended", "runs"),
        ("tell_job_finished", "execution_jobs"),
        ("tell_approval_decided", "approvals"),
        ("tell_approval_requested", "approvals"),
    ):
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for function in ("tell_run()", "tell_job()", "tell_approval()", "enqueue_webhooks(varchar, varchar, varchar, varchar, json)"):
        op.execute(f"DROP FUNCTION {function}")
    for function in ("webhook_wanted(varchar, varchar)", "webhook_short(json)", "webhook_moment(timestamptz)"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("webhook_deliveries")
    op.drop_table("notify_channels")
    op.drop_table("webhook_endpoints")


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255)),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", sa.ARRAY(sa.String()), nullable=False),
        sa.Column("encrypted_secret", sa.Text(), nullable=False),
        sa.Column("encrypted_previous_secret", sa.Text()),
        sa.Column("previous_until", sa.DateTime(timezone=True)),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255)),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index("uq_webhook_endpoints_ordinal", "webhook_endpoints", ["ordinal"], unique=True)
    op.create_index("ix_webhook_endpoints_listening", "webhook_endpoints", ["tenant_id"], postgresql_where=sa.text("is_active AND enabled"))
    op.create_index("ix_webhook_endpoints_tenant_id", "webhook_endpoints", ["tenant_id", "ordinal"])
    op.create_table(
        "notify_channels",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notify_channels")),
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("endpoint_id", sa.String(length=64)),
        sa.Column("channel_id", sa.String(length=64)),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'failed', 'cancelled')", name=op.f("ck_webhook_deliveries_status")),
        sa.CheckConstraint("(endpoint_id IS NULL) <> (channel_id IS NULL)", name=op.f("ck_webhook_deliveries_whom")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name=op.f("fk_webhook_deliveries_endpoint_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["channel_id"], ["notify_channels.id"], name=op.f("fk_webhook_deliveries_channel_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    pending, table = sa.text("status = 'pending'"), "webhook_deliveries"
    op.create_index("uq_webhook_deliveries_ordinal", table, ["ordinal"], unique=True)
    op.create_index("ix_webhook_deliveries_due", table, ["next_at"], postgresql_where=pending)
    op.create_index("ix_webhook_deliveries_due_endpoint", table, ["endpoint_id", "next_at"], postgresql_where=pending)
    op.create_index("ix_webhook_deliveries_endpoint_id", table, ["endpoint_id", "ordinal"])
    op.create_index(
        "ix_webhook_deliveries_channel_id", table, ["channel_id", "next_at"], postgresql_where=sa.text("channel_id IS NOT NULL")
    )
    op.create_index("ix_webhook_deliveries_tenant_id", table, ["tenant_id", "user_id"])
    op.create_index("ix_webhook_deliveries_created_at", table, ["created_at"])
