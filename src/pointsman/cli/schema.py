"""Refuses a database whose schema is not ready, for commands that must not change it."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem
from pointsman.migrations import HEAD, current


class DatabaseNotMigrated(Problem):
    """The command found a database whose schema is not the one that this release needs, and never migrates by itself.

    Run `pointsman migrate` once with the same settings, before the first process of a new release is started.
    """

    kind = Kind.UNAVAILABLE
    code = "database-not-migrated"
    title = "The database is not migrated"


async def require_migrated(dsn: str) -> None:
    """Raise DatabaseNotMigrated unless this release can work on it."""
    revision = await current(dsn)
    # A newer database is this release's as long as its process lives: the next release is rolled out behind it.
    if revision is None or revision < HEAD:
        stands = "is empty" if revision is None else f"is at revision {revision}"
        raise DatabaseNotMigrated(
            f"The database {stands}; this release needs {HEAD}.", hint="Run `pointsman migrate` with the same settings."
        )
