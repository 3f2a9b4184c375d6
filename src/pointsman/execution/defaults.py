"""The target and the engines that are there out of the box."""

from __future__ import annotations

import os
from pathlib import Path

from pointsman.audit.service import record
from pointsman.execution import queries
from pointsman.execution.configs import stored
from pointsman.execution.connections import Capacity, read_connection
from pointsman.execution.handlers import read_handler
from pointsman.execution.rows import EngineType
from pointsman.jobs.worker_config import DEFAULT_POOL
from pointsman.kit.db import Connection, Database

_MB = 2**20
_ENGINES: tuple[tuple[EngineType, str, str, bool], ...] = (
    ("direct_ops", "Commands", "Runs the job's commands in order, without a shell and without a model.", True),
    ("code_agent", "Code agent", "A model with tools that read, change and run things inside the sandbox.", False),
)


async def make_defaults(db: Database) -> None:
    """Make what is not there, once: what an operator changed or deleted stays as it is. For every start, of any number of processes."""
    async with db.transaction() as connection:
        await _make_target(connection)
        for engine in _ENGINES:
            await _make_engine(connection, *engine)


def host_capacity() -> Capacity:
    """What this machine takes: two jobs a processor, four at least, each with half of the memory at most."""
    cores = os.cpu_count() or 1
    return Capacity(max_concurrent_jobs=max(4, 2 * cores), memory_mb=max(16, _memory_mb() // 2), cpus=float(cores))


async def _make_target(connection: Connection) -> None:
    made = await queries.insert_target(
        connection,
        "local",
        name="This machine",
        type="local",
        connection_config=stored(read_connection("local", {})),
        capacity=stored(host_capacity()),
        worker_pool=DEFAULT_POOL,
    )
    if made is not None:
        await record(connection, None, "target.created", "target", made.id, {"type": made.type})


async def _make_engine(connection: Connection, kind: EngineType, name: str, description: str, default: bool) -> None:
    no_other = default and await queries.find_default_engine(connection) is None
    made = await queries.insert_engine(
        connection,
        kind,
        name=name,
        type=kind,
        provider="anthropic",
        handler_config=stored(read_handler(kind, {})),
        description=description,
        is_default=no_other,
    )
    if made is not None:
        await record(connection, None, "engine.created", "engine", made.id, {"type": made.type})


def _memory_mb() -> int:
    """Of the machine, or of the container's limit where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MB
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            given = Path(limit).read_text().strip()
        except OSError:
            continue
        if given.isdigit():
            return min(machine, int(given) // _MB)
    return machine
