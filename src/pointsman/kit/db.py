"""The database: one pool of connections, short transactions on it, and one meaning of 'it is away'.

JSON travels as text, in json and jsonb columns as in those of TEXT: whoever reads or writes it decodes or encodes it, see `kit.json_text`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol, cast

import asyncpg

from pointsman.kit.problems import Unavailable

SERVICE_ROLE = "pointsman_service"

# What asyncpg raises when the server is gone, going or not yet back; everything else is a defect or a constraint.
AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    TimeoutError,
)


class Record(Protocol):
    """A row: values by name or position."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def keys(self) -> Iterable[str]: ...


class Connection(Protocol):
    """The part of an asyncpg connection that is used; asyncpg itself ships no types. It prepares and caches each statement."""

    async def fetch(self, query: str, *args: Any) -> list[Record]: ...
    async def fetchrow(self, query: str, *args: Any) -> Record | None: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...  # noqa: ASYNC109 - the driver's own name
    def transaction(self) -> AbstractAsyncContextManager[None]: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...
    async def close(self, *, timeout: float | None = None) -> None: ...  # noqa: ASYNC109 - as above
    def terminate(self) -> None: ...
    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None: ...


_driver: Any = asyncpg

_FREE_WITHIN = 5.0
# For what follows a failure: waiting for a cancelled statement to stop, and rolling back. A connection that takes longer is dropped.
_CLEAN_WITHIN = 1.0
# The server cuts its statements itself; this is for one that no longer does anything.
_SILENT_AFTER = timedelta(seconds=5)


class Database:
    """Owns every connection of a process. Open it with `connect`, close it with `close`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        pool_size: int = 10,
        statement_timeout: timedelta = timedelta(seconds=30),
        role: str | None = SERVICE_ROLE,
    ) -> Database:
        """Open the pool.

        Services act as `role`, which has the rights that the migrations grant and no more, not as the owner in the DSN.
        """
        pool = await _driver.create_pool(
            dsn,
            min_size=1,
            max_size=pool_size,
            connect=_connector(statement_timeout, role),
            max_inactive_connection_lifetime=300,
            command_timeout=(statement_timeout + _SILENT_AFTER).total_seconds() if statement_timeout else None,
            reset=_keep_session,
        )
        return cls(pool)

    def connections_in_use(self) -> int:
        """Connections that somebody holds right now."""
        return self._pool.get_size() - self._pool.get_idle_size()

    def connections_open(self) -> int:
        """Connections of the pool, idle ones too."""
        return self._pool.get_size()

    async def close(self) -> None:
        """Close the pool; a connection that does not answer is dropped."""
        try:
            await asyncio.wait_for(self._pool.close(), 3)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection on which each statement commits by itself; waits at most 5 s for a free one. Raises Unavailable."""
        with unavailable_when_away():
            async with self.lent() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """One short transaction that commits when the block ends; never nested, never open while a model or a tool is talked to.

        Raises Unavailable, also where the connection was lost while committing: then nobody knows whether it did.
        """
        async with self.connection() as connection:
            try:
                await connection.execute("BEGIN")
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                await _roll_back(connection)
                raise

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Connection]:
        """A connection for one that tells by the driver's own errors what to do when the database is away."""
        connection = await self._pool.acquire(timeout=_FREE_WITHIN)
        try:
            yield connection
        finally:
            # What the block came to stands. One that cannot be cleaned in time is dropped by the pool, never lent again.
            with suppress(asyncpg.PostgresError, *AWAY):
                await self._pool.release(connection, timeout=_CLEAN_WITHIN)


async def connect(
    dsn: str, *, statement_timeout: timedelta = timedelta(seconds=30), role: str | None = SERVICE_ROLE, **options: Any
) -> Connection:
    """One connection outside the pool: for listeners, locks and heartbeats."""
    settings = {
        "application_name": "pointsman",
        "statement_timeout": str(int(statement_timeout.total_seconds() * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
    }
    if role is not None:
        settings["role"] = role
    return cast("Connection", await _driver.connect(dsn, **{"timeout": 5, **options, "server_settings": settings}))


@contextmanager
def unavailable_when_away() -> Generator[None]:
    """Turn 'the database is not there' into the problem the caller can act on."""
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise _too_slow() from error
    except AWAY as error:
        raise _away() from error


def _too_slow() -> Unavailable:
    return Unavailable(
        "The database did not finish within POINTSMAN_DATABASE__STATEMENT_TIMEOUT.",
        hint="Ask for less, such as a shorter time or fewer groups. Retry when the database has less to do.",
        retry_after=5,
    )


def _away() -> Unavailable:
    return Unavailable(
        "The database is not answering.",
        hint="Nothing was lost. Retry in a moment; send an Idempotency-Key to make that safe.",
        retry_after=1,
    )


async def _roll_back(connection: Connection) -> None:
    """Bounded, because a server that fell silent would keep the caller; a connection of unknown state is ended."""
    clean = False
    try:
        with suppress(asyncpg.PostgresError, *AWAY):
            await connection.execute("ROLLBACK", timeout=_CLEAN_WITHIN)
            clean = True
    finally:
        if not clean:
            with suppress(asyncpg.InterfaceError):  # it is closed already
                connection.terminate()


def _connector(statement_timeout: timedelta, role: str | None) -> Callable[..., Awaitable[Connection]]:
    async def pooled(dsn: str, **options: Any) -> Connection:
        return await connect(dsn, statement_timeout=statement_timeout, role=role, **options)

    return pooled


async def _keep_session(connection: Connection) -> None:
    """Nothing to undo: users of the pool neither SET, LISTEN nor hold session locks, and a reset costs a round trip per use."""
    del connection
