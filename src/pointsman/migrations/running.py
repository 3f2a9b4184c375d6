"""Moves a database from one revision to another: one process at a time, in one transaction, rights included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
import structlog

from pointsman.kit.db import AWAY, Connection, connect
from pointsman.migrations.errors import (
    DatabaseNewerThanCode,
    DatabaseNotReached,
    MigrationLocked,
    MigrationNotPermitted,
    RevisionUnknown,
)
from pointsman.migrations.rights import grant_rights, require_service_role, withdraw_rights
from pointsman.migrations.state import HEAD, State, read_revision, read_state
from pointsman.migrations.vectors import add_vectors

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection as SyncConnection
    from sqlalchemy import MetaData

BASE = "base"

T = TypeVar("T")

LOCK = 7_305_808_868_229_341_556  # any number that no other application's advisory lock has
_ALEMBIC = threading.Lock()
_TABLE_WAIT = "15s"  # a statement that waits for a table makes everybody else wait behind it


class MigrationResult(NamedTuple):
    """The revisions before and after; None is an empty database."""

    before: str | None
    after: str | None


async def migrate(
    dsn: str,
    *,
    timeout: timedelta = timedelta(minutes=2),  # noqa: ASYNC109 - PostgreSQL waits, and says so
    log: Any = None,
) -> MigrationResult:
    """Bring the database to HEAD. Any number of processes may do so at once: one migrates, the others wait up to `timeout` for it."""
    async with _reached(dsn) as connection:
        if (await read_state(connection)).is_current:
            return MigrationResult(HEAD, HEAD)
        await _lock(connection, timeout, log or structlog.get_logger())
        state = await read_state(connection)
        if not state.is_current:
            await _upgrade(dsn, connection, state, log or structlog.get_logger())
        return MigrationResult(state.revision, HEAD)


async def downgrade(dsn: str, revision: str, *, patience: timedelta = timedelta(minutes=2), log: Any = None) -> MigrationResult:
    """Go back to an earlier revision; `base` drops every table. What the dropped tables held is lost."""
    async with _reached(dsn) as connection:
        await _lock(connection, patience, log or structlog.get_logger())
        before = await read_revision(connection)
        if revision not in {BASE, *_known_revisions()}:
            raise RevisionUnknown(f"There is no revision {revision!r}.", hint=f"Known are: {', '.join([BASE, *_known_revisions()])}.")
        _refuse_newer(before)
        async with _alembic():
            await alter(dsn, lambda sync: _run_down(sync, revision))
        return MigrationResult(before, await read_revision(connection))


async def current(dsn: str) -> str | None:
    """The revision of the database, None if it is empty."""
    async with _reached(dsn) as connection:
        return await read_revision(connection)


async def alter(dsn: str, work: Callable[[SyncConnection], T]) -> T:
    """Run `work` in one transaction of the owner that commits at the end."""
    # SQLAlchemy and Alembic are imported only when there is something to do: together they take longer than all the rest of a start.
    from sqlalchemy import NullPool, text  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(dsn, statement_timeout=timedelta(0), role=None), poolclass=NullPool
    )
    try:
        with _explained():
            async with engine.begin() as connection:
                await connection.execute(text(f"SET LOCAL lock_timeout = '{_TABLE_WAIT}'"))
                await connection.execute(text("SET LOCAL search_path = public"))
                return await connection.run_sync(work)
    finally:
        await engine.dispose()


def declared(connection: SyncConnection) -> MetaData:
    """The tables that the code declares; runs no revision."""
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - as above

    def no_revision(*_: object) -> list[Any]:
        return []

    config, script = _config(connection), _scripts()
    with EnvironmentContext(config, script, fn=no_revision):
        script.run_env()
    return config.attributes["tables"]


async def _upgrade(dsn: str, connection: Connection, state: State, log: Any) -> None:
    _refuse_newer(state.revision)
    await require_service_role(connection)
    log.info("migrations.started", before=state.revision, after=HEAD)
    async with _alembic():
        await alter(dsn, _run_up)
    log.info("migrations.done", revision=HEAD)


def _run_up(connection: SyncConnection) -> None:
    from alembic import command  # noqa: PLC0415 - as above

    config = _config(connection)
    command.upgrade(config, HEAD)
    add_vectors(connection)
    grant_rights(connection, config.attributes["tables"])


def _run_down(connection: SyncConnection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - as above

    config = _config(connection)
    command.downgrade(config, revision)
    settle = withdraw_rights if revision == BASE else grant_rights
    settle(connection, config.attributes["tables"])


def _config(connection: SyncConnection | None = None) -> Any:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return ScriptDirectory.from_config(_config())


def _known_revisions() -> list[str]:
    return [script.revision for script in reversed(list(_scripts().walk_revisions()))]


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in _known_revisions():
        raise DatabaseNewerThanCode(
            f"The database is at revision {revision}, which this release (revision {HEAD}) does not know.",
            hint="Start the release that migrated it, restore a backup from before, or name another database. Nothing was changed.",
        )


async def _lock(connection: Connection, patience: timedelta, log: Any) -> None:
    """Held by the connection until it closes, so also until its process dies."""
    if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        return
    log.info("migrations.waiting", seconds=patience.total_seconds())
    await connection.execute(f"SET lock_timeout = {max(1, int(patience.total_seconds() * 1000))}")
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
    except asyncpg.LockNotAvailableError as error:
        raise MigrationLocked(
            f"Another process has been migrating this database for more than {patience.total_seconds():.0f} s.",
            hint="Start again when it is done; `pg_stat_activity` shows it as application `pointsman`.",
        ) from error


@asynccontextmanager
async def _alembic() -> AsyncGenerator[None]:
    """Its `op` is global to the process: two databases migrated in one process would be mixed up."""
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110 - an event belongs to one loop, this lock to all
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        _ALEMBIC.release()


@asynccontextmanager
async def _reached(dsn: str) -> AsyncGenerator[Connection]:
    try:
        connection = await connect(dsn, statement_timeout=timedelta(0), role=None)
    except (*AWAY, asyncpg.PostgresError, ValueError) as error:
        raise DatabaseNotReached(f"The database does not let us in: {error or type(error).__name__}.") from error
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def _explained() -> Generator[None]:
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - as above

    try:
        yield
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None)
        if isinstance(cause, asyncpg.InsufficientPrivilegeError):
            raise MigrationNotPermitted(
                f"PostgreSQL says: {cause}.",
                hint="Make the user of the DSN the owner: ALTER DATABASE … OWNER TO …; and, for an older database, of its schema public.",
            ) from error
        if isinstance(cause, asyncpg.LockNotAvailableError):
            raise MigrationLocked(
                f"A table that has to change was in use for {_TABLE_WAIT}.",
                hint="End long transactions on this database, then start again.",
            ) from error
        raise
