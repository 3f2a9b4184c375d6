"""Teams at work: runs that members do for a team, and the sessions they have for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("parent_run_id", sa.String(length=64)))
    op.create_index("ix_runs_parent", "runs", ["parent_run_id"], postgresql_where=sa.text("parent_run_id IS NOT NULL"))
    op.add_column("sessions", sa.Column("parent_id", sa.String(length=255)))
    op.create_index("ix_sessions_parent", "sessions", ["tenant_id", "parent_id"], postgresql_where=sa.text("parent_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_sessions_parent", table_name="sessions")
    op.drop_column("sessions", "parent_id")
    op.drop_index("ix_runs_parent", table_name="runs")
    op.drop_column("runs", "parent_run_id")
