"""Jobs that somebody has tried again are decided about again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_details", sa.Column("life", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("job_details", "life")
