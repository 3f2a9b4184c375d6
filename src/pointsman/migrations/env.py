"""Runs revisions on the connection that it is handed; whoever hands it over has taken the lock and commits.

Alembic loads this file by its path, so that the tables, and SQLAlchemy with them, are only loaded when there is something to run. Whoever
runs it finds them in `attributes` afterwards.
"""

from __future__ import annotations

from alembic import context

from pointsman.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.config.attributes["tables"] = METADATA
with context.begin_transaction():
    context.run_migrations()
