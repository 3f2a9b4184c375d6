"""The database: one SQLAlchemy engine for the slices, one asyncpg pool for the chat path, one meaning of 'it is away'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Protocol, cast

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

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


class Connection(Protocol):
    """The part of an asyncpg connection that is used; asyncpg itself ships no types. It prepares and caches each statement."""

    async def fetch(self, query: str, *args: Any) -> list[Record]: ...
    async def fetchrow(self, query: str, *args: Any) -> Record | None: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...
    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> None: ...
    def transaction(self) -> AbstractAsyncContextManager[None]: ...
    def is_closed(self) -> bool: ...
    async def close(self, *, timeout: float | None = None) -> None: ...  # noqa: ASYNC109 - the driver's own name
    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None: ...


_driver: Any = asyncpg


class Database:
    """Owns every connection of a process. Open it with `connect`, close it with `close`."""

    def __init__(self, engine: AsyncEngine, pool: Any) -> None:
        self.engine = engine
        self.pool = pool
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        pool_size: int = 10,
        statement_timeout: timedelta = timedelta(seconds=30),
        role: str | None = SERVICE_ROLE,
    ) -> Database:
        """Open both pools.

        Services act as `role`, which has the rights that the migrations grant and no more, not as the owner in the DSN.
        """
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: connect(dsn, statement_timeout=statement_timeout, role=role),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_use_lifo=True,
            pool_pre_ping=True,
        )
        pool = await _driver.create_pool(
            dsn,
            min_size=1,
            max_size=pool_size,
            connect=_connector(statement_timeout, role),
            max_inactive_connection_lifetime=300,
            reset=_keep_session,
        )
        return cls(engine, pool)

    def sessions_in_use(self) -> int:
        """Connections that slices hold right now."""
        pool: Any = self.engine.pool
        return pool.checkedout()

    def connections_in_use(self) -> int:
        """Connections that the chat path holds right now."""
        return self.pool.get_size() - self.pool.get_idle_size()

    async def close(self) -> None:
        """Close both pools; a connection that does not answer is dropped."""
        try:
            await asyncio.wait_for(self.pool.close(), 3)
        except TimeoutError:
            self.pool.terminate()
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncSession]:
        """One short transaction that commits when the block ends; never open while a model or a tool is talked to."""
        with unavailable_when_away():
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncSession]:
        """A session for reading; what it changes is rolled back."""
        with unavailable_when_away():
            async with self._sessions() as session:
                yield session

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A raw connection for the chat path; waits at most 5 s for a free one."""
        with unavailable_when_away():
            async with self.pool.acquire(timeout=5) as connection:
                yield connection


async def connect(
    dsn: str, *, statement_timeout: timedelta = timedelta(seconds=30), role: str | None = SERVICE_ROLE, **options: Any
) -> Connection:
    """One connection outside the pools: for listeners, locks and heartbeats."""
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
    except PoolTimeout as error:
        raise _away() from error
    except (DBAPIError, InterfaceError) as error:
        if error.connection_invalidated or isinstance(error.orig, AWAY) or isinstance(getattr(error.orig, "__cause__", None), AWAY):
            raise _away() from error
        if isinstance(getattr(error.orig, "__cause__", None), asyncpg.QueryCanceledError):
            raise _too_slow() from error
        raise


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


def _connector(statement_timeout: timedelta, role: str | None) -> Callable[..., Awaitable[Connection]]:
    async def pooled(dsn: str, **options: Any) -> Connection:
        return await connect(dsn, statement_timeout=statement_timeout, role=role, **options)

    return pooled


async def _keep_session(connection: Connection) -> None:
    """Nothing to undo: this pool's users neither SET, LISTEN nor hold advisory locks, and a reset costs a round trip per use."""
    del connection
