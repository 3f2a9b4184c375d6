"""Every place where a secret might have gone, as files to be searched: see `found_in`.

What is left out has a business with them: the operator's own variables in the environment of a gateway, the files of mode 0600 that hold
the admin key, the key ring and the database's password, the provider's ledger, and the one answer that shows a key to who made it.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from tests.faults.evidence import RECORD
from tests.faults.processes import command_line, descendants, environment
from tests.faults.searching import search

from pointsman.kit.db import Connection, connect

if TYPE_CHECKING:
    from tests.faults.stage import Stage

PRIVATE = {"admin-key", "keyring", "pg.password"}
PATIENCE = timedelta(minutes=10)  # an hour's load leaves tables that take more than the usual time to read whole


async def found_in(stage: Stage) -> list[dict[str, Any]]:
    """What was searched and what was found: `{"searched": place, "secrets": n}` and `{"found": secret, "in": place}`."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pointsman-searched-") as folder:
        places = {**_files(stage), **await _captured(stage, Path(folder)), **stage.places}
        for place, paths in ((place, paths) for place, paths in places.items() if paths):
            rows.append({"searched": place, "secrets": len(stage.secrets)})
            found = await asyncio.to_thread(search, paths, stage.secrets)
            rows += [{"found": f"{hit.name} ({hit.form})", "in": f"{place}: {hit.path.name}"} for hit in found]
    return rows


def open_to_others(folder: Path) -> list[Path]:
    """The private files below a folder that more than their owner may read."""
    return [path for path in folder.rglob("*") if path.name in PRIVATE and path.stat().st_mode & 0o077]


def _files(stage: Stage) -> dict[str, list[Path]]:
    stage.answers.flush()
    data = [path for path in stage.folder.rglob("*") if path.is_file() and path.name not in PRIVATE and path.suffix != ".log"]
    home = stage.database_home.resolve()
    return {
        "the clients' record, events included": [stage.options.report / RECORD],
        "the answers": [stage.answers.path],
        "the gateways' logs": sorted(stage.folder.glob("*.log")),
        "the gateways' files": [path for path in data if path != stage.answers.path],
        "the database's raw files": [path.parent for path in home.rglob("PG_VERSION") if (path.parent / "global").exists()],
        "the database's log": sorted(home.rglob("pg.log")),
    }


async def _captured(stage: Stage, folder: Path) -> dict[str, list[Path]]:
    """What is no file yet: rows (large values are compressed in the raw files), metrics, and what the system tells of processes."""
    gateways = [replica.pid for replica in stage.alive()]
    children = [pid for gateway in gateways for pid in descendants(gateway)]
    server = [stage.postmaster, *descendants(stage.postmaster)]
    captured: dict[str, list[tuple[str, bytes]]] = {
        "the database's rows": await _rows(stage.dsn),
        "the metrics": [(replica.name, await _metrics(stage, replica.url)) for replica in stage.alive()],
        "the command lines": [(f"cmdline of {pid}", command_line(pid)) for pid in (*gateways, *children, *server)],
        "the environment of the database and of the gateways' children": [
            (f"environ of {pid}", environment(pid)) for pid in (*children, *server)
        ],
    }
    return {place: [_written(folder / place, name, data) for name, data in parts] for place, parts in captured.items()}


def _written(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


async def _rows(dsn: str) -> list[tuple[str, bytes]]:
    connection = await connect(dsn, role=None, statement_timeout=PATIENCE)
    try:
        found = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname !~ '^pg_|^information_schema$'"
        )
        rows = [(row["name"], await _table(connection, row["name"])) for row in found]
        await connection.execute("CHECKPOINT")  # so that the raw files hold what there is to find
    finally:
        await connection.close()
    return rows


async def _table(connection: Connection, name: str) -> bytes:
    return "\n".join(row["line"] for row in await connection.fetch(f"SELECT t::text AS line FROM {name} t")).encode()


async def _metrics(stage: Stage, url: str) -> bytes:
    try:
        return (await stage.http.get(f"{url}/metrics")).content
    except httpx.TransportError:  # it was told to die
        return b""
