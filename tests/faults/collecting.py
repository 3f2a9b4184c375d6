"""What the checker will read besides the record: the upstream's ledger, the database, and every place where a secret might have gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from tests.faults import secrets
from tests.faults.evidence import DATABASE, DUMP, FINDINGS, LEDGER, RECORD
from tests.faults.record import write_jsonl

from pointsman.kit.db import connect

if TYPE_CHECKING:
    from tests.faults.stage import Stage

_JSON = {"request", "result", "error", "content"}


async def collect(stage: Stage) -> None:
    """Ledger, database and findings, into the report's folder."""
    folder = stage.options.report
    write_jsonl(folder / LEDGER, await asyncio.to_thread(stage.upstream.settled))
    write_jsonl(folder / DATABASE, [row async for row in _dump(stage.dsn)])
    write_jsonl(folder / FINDINGS, await _findings(stage))


async def _dump(dsn: str) -> AsyncIterator[dict[str, Any]]:
    connection = await connect(dsn, role=None)
    try:
        for table, statement in DUMP.items():
            for row in await connection.fetch(statement):
                columns = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a driver's row iterates over its values
                yield {"table": table, **{name: _value(name, value) for name, value in columns.items()}}
        await connection.execute("CHECKPOINT")  # so that the data files hold what there is to find
    finally:
        await connection.close()


def _value(name: str, value: Any) -> Any:
    return msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else value


async def _findings(stage: Stage) -> Iterable[dict[str, Any]]:
    known = stage.secrets
    clusters = [path for path in stage.database_home.resolve().rglob("data") if (path / "PG_VERSION").exists()]
    report = stage.options.report
    # The ledger is the provider's own: our key for it stands in there rightly.
    places: dict[str, list[Path]] = {
        "the clients' record": [report / RECORD],
        "the database as text": [report / DATABASE],
        "the database's files": [cluster / name for cluster in clusters for name in ("base", "global", "pg_wal", "pg_xact")],
        "the gateways' logs": sorted(stage.folder.glob("*.log")),
    }
    found = {place: await asyncio.to_thread(secrets.search, paths, known) for place, paths in places.items()}
    found["the command lines"] = secrets.command_lines([replica.pid for replica in stage.alive()], known)
    found["the metrics"] = [hit for text in await _metrics(stage) for hit in secrets.search_text("the metrics", text, known)]
    searched = [{"searched": place, "secrets": len(known)} for place in found]
    return [*searched, *({"found": hit.secret, "in": hit.place} for hits in found.values() for hit in hits)]


async def _metrics(stage: Stage) -> list[str]:
    texts: list[str] = []
    for replica in stage.alive():
        try:
            texts.append((await stage.http.get(f"{replica.url}/metrics")).text)
        except httpx.TransportError:  # it was told to die
            continue
    return texts
