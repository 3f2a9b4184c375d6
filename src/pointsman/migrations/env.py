"""Runs revisions on the connection that it is handed; whoever hands it over has taken the lock and commits."""

from __future__ import annotations

from alembic import context

from pointsman.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
