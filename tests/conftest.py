"""A real PostgreSQL for every test: one cluster per run, one migrated template, a clone per test that is dropped afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from pointsman.kit.db import Connection, Database, connect
from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate
from pointsman.settings import DatabaseSettings, Settings

T = TypeVar("T")

_RUN = pytest.StashKey[Path]()
_ALIVE = pytest.StashKey[int]()
_PREFIX = "pointsman-tests-"
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}
# What a developer's shell may hold and no test may see: settings, keys of real providers, libpq's defaults, proxies.
_FOREIGN = ("POINTSMAN_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "PG")


@pytest.hookimpl(tryfirst=True)  # before pytest itself decides where its temporary folders are
def pytest_configure(config: pytest.Config) -> None:
    clear_environment()
    told = getattr(config, "workerinput", None)
    if told is not None:
        config.stash[_RUN] = Path(told["pointsman_run"])
        return
    _sweep_dead_runs()
    _begin_run(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist which run it belongs to."""
    node.workerinput["pointsman_run"] = str(node.config.stash[_RUN])


def pytest_unconfigure(config: pytest.Config) -> None:
    if _ALIVE in config.stash:
        _remove_run(config.stash[_RUN])
        os.close(config.stash[_ALIVE])


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def tasks_end_with_their_test(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(request.node.obj)):
        request.getfixturevalue("no_task_left")


@pytest.fixture
async def no_task_left() -> AsyncGenerator[None]:
    """Fails the test that leaves a task behind, once all its other fixtures are gone."""
    before = asyncio.all_tasks()
    yield
    # the runner of the tests is itself made of tasks
    left = {task for task in asyncio.all_tasks() - before if not getattr(task.get_coro(), "__qualname__", "").startswith("TestRunner.")}
    if left:
        _, left = await asyncio.wait(left, timeout=1)
    for task in left:
        task.cancel()
    assert not left, f"the test left tasks behind: {left}"


class Cluster:
    """The PostgreSQL of this test run; makes databases."""

    def __init__(self, dsn: str, run: Path) -> None:
        self.dsn = dsn
        self._run = run
        self._names = (f"t{os.getpid()}_{number}" for number in count())

    @contextmanager
    def database(self, template: str = "template1") -> Generator[str]:
        """A database of its own, dropped in the end; whoever is still connected then has leaked a connection."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.dsn_of(name)
        finally:
            left = run_aside(self._drop(name))
        assert not left, f"the test left connections to its database open: {left}"

    def dsn_of(self, name: str, *, user: str | None = None) -> str:
        """The DSN of a database, for another user (whose password is its name) if one is given."""
        parts = urlsplit(self.dsn)
        host = parts.netloc if user is None else f"{user}:{user}@{parts.netloc.rpartition('@')[2]}"
        return parts._replace(netloc=host, path=f"/{name}").geturl()

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, outside the test's event loop."""
        run_aside(self._execute(statements))

    def migrated_template(self) -> str:
        """The name of the template, which the first who asks migrates."""
        with _locked(self._run / "template.lock"):
            done = self._run / "template.done"
            if not done.exists():
                self.execute("CREATE DATABASE migrated")
                run_aside(migrate(self.dsn_of("migrated")))
                done.touch()
        return "migrated"

    async def _execute(self, statements: tuple[str, ...]) -> None:
        connection = await connect(self.dsn, role=None)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _drop(self, name: str) -> list[str]:
        connection = await connect(self.dsn, role=None)
        try:
            left = await _connected(connection, name)
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await connection.close()
        return left


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Generator[Cluster]:
    run = pytestconfig.stash[_RUN]
    server = EmbeddedPostgres(run / "cluster", extra_options=OPTIONS)
    dsn = server.start()
    try:
        yield Cluster(dsn, run)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> str:
    return cluster.migrated_template()


@pytest.fixture
def dsn(cluster: Cluster, migrated_template: str) -> Generator[str]:
    """A fresh clone of the migrated template; the user owns it and is superuser."""
    with cluster.database(migrated_template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(cluster: Cluster) -> Generator[str]:
    """A database that nobody has migrated."""
    with cluster.database() as dsn:
        yield dsn


@pytest.fixture
async def db(dsn: str) -> AsyncGenerator[Database]:
    """A Database on the clone, acting as the service role."""
    db = await Database.connect(dsn, pool_size=5)
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture
async def owner(dsn: str) -> AsyncGenerator[Connection]:
    """A raw connection to the clone with all rights, for arranging and for looking."""
    connection = await connect(dsn, role=None)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """Settings for a gateway on the clone, on any free port, with its files in a folder of the test."""
    return Settings(data_dir=tmp_path / "data", port=0, database=DatabaseSettings.model_validate({"url": dsn}))


@contextmanager
def cluster_home(otherwise: Path) -> Generator[Path]:
    """The directory for one more cluster, where it is fast; with what is in it gone afterwards."""
    home = _make_home(f"{_PREFIX}{os.getpid()}-{time.monotonic_ns()}", otherwise)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def clear_environment() -> None:
    """Before anything of ours reads it."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]


def run_aside(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run in a thread and loop of its own: a fixture may be called while the test's loop exists."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            outcome.set_exception(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return outcome.result()


async def _connected(connection: Connection, name: str) -> list[str]:
    query = "SELECT application_name || ': ' || query AS last FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'"
    deadline = time.monotonic() + 10  # a server notices a closed socket a moment later, on a busy machine after some
    while (rows := await connection.fetch(query, name)) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return [row["last"] for row in rows]


def _begin_run(config: pytest.Config) -> None:
    run = Path(tempfile.mkdtemp(prefix=_PREFIX))
    run.chmod(0o711)  # the server's account has to get through
    (run / "cluster").symlink_to(_make_home(run.name, run))
    config.stash[_RUN] = run
    config.stash[_ALIVE] = os.open(run / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(config.stash[_ALIVE], fcntl.LOCK_EX)
    os.environ["XDG_DATA_HOME"] = str(run / "xdg")  # a test that forgets its data directory must not find the developer's
    if config.option.basetemp is None:
        config.option.basetemp = str(run / "tmp")


def _make_home(name: str, otherwise: Path) -> Path:
    """Where memory is a file system with room, a clone takes 8 ms instead of 140."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    home = memory / name if roomy else otherwise / "home"
    home.mkdir(mode=0o711)
    return home


def _sweep_dead_runs() -> None:
    """Stop and remove what a run left that was killed: its lock is free."""
    for run in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (run / "alive").open("rb") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any((run / "cluster").resolve().rglob("postmaster.pid")):
                dead = EmbeddedPostgres(run / "cluster")
                dead.start()
                dead.stop()
            _remove_run(run)


def _remove_run(run: Path) -> None:
    # Not by shutil, which recurses: what tests of sandboxes leave when they are killed is as deep as a job could make it.
    subprocess.run(["rm", "-rf", "--", (run / "cluster").resolve(), run], check=False)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
