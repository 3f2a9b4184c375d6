"""What the checker will read besides the record: the upstream's ledger, the database, and every place where a secret might have gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from tests.faults import places
from tests.faults.evidence import DATABASE, DUMP, FINDINGS, LEDGER
from tests.faults.record import write_jsonl

from pointsman.kit.db import connect

if TYPE_CHECKING:
    from tests.faults.stage import Stage

_JSON = {"request", "result", "error", "content"}


async def collect(stage: Stage) -> None:
    """Ledger, database and findings, into the report's folder."""
    folder = stage.options.report
    left = await asyncio.to_thread(lambda: stage.upstream.settled(compact=True))
    write_jsonl(folder / LEDGER, [*stage.taken, *left])
    write_jsonl(folder / DATABASE, [row async for row in _dump(stage.dsn)])
    write_jsonl(folder / FINDINGS, await places.found_in(stage))


async def _dump(dsn: str) -> AsyncIterator[dict[str, Any]]:
    connection = await connect(dsn, role=None, statement_timeout=places.PATIENCE)
    try:
        for table, statement in DUMP.items():
            for row in await connection.fetch(statement):
                columns = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a driver's row iterates over its values
                yield {"table": table, **{name: _value(name, value) for name, value in columns.items()}}
    finally:
        await connection.close()


def _value(name: str, value: Any) -> Any:
    return msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else value
