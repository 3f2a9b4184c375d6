"""Supervised runs: what each is about to do; with the run go its story and its jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Runs go by their session, by their age and by an erasure: in each case what was said in them goes at once, from every table.
_GOES = """
CREATE FUNCTION supervisor_run_goes() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    DELETE FROM execution_jobs WHERE supervisor_run_id = OLD.supervisor_run_id;
    DELETE FROM supervisor_runs WHERE id = OLD.supervisor_run_id;
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER supervisor_run_goes AFTER DELETE ON supervisor_details FOR EACH ROW EXECUTE FUNCTION supervisor_run_goes()
"""


def upgrade() -> None:
    op.create_table(
        "supervisor_details",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("supervisor_run_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.String(length=255), nullable=False),
        sa.Column("stage", sa.String(length=20), server_default=sa.text("'classify'"), nullable=False),
        sa.Column("since", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("step", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("claims", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked_model", sa.String(length=255)),
        sa.Column("asked_tokens", sa.Integer()),
        sa.Column("worker", sa.String(length=64)),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("workspace", sa.LargeBinary()),
        sa.CheckConstraint("stage IN ('classify', 'jobs', 'answer', 'ended')", name=op.f("ck_supervisor_details_stage")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_supervisor_details_run_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["supervisor_run_id"], ["supervisor_runs.id"], name=op.f("fk_supervisor_details_supervisor_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_supervisor_details")),
    )
    op.create_index("uq_supervisor_details_supervisor_run_id", "supervisor_details", ["supervisor_run_id"], unique=True)
    op.create_index("ix_supervisor_details_live", "supervisor_details", ["tenant_id"], postgresql_where=sa.text("stage <> 'ended'"))
    op.execute(_GOES)
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.drop_table("supervisor_details")
    op.execute("DROP FUNCTION supervisor_run_goes()")
