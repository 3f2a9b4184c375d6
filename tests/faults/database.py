"""PostgreSQL of `pointsman up` killed with `kill -9` again and again under load: the gateway brings it back itself, and stays up.

Meanwhile requests are answered, with 503 and `Retry-After`; no acknowledged write is lost; within five seconds of a kill every kind of
request is answered again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.gateways import start_alone
from tests.faults.options import read_options
from tests.faults.outages import Load, kill_again_and_again
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import QUICK, Replica, Stage

from pointsman.kit.db import AWAY, connect
from pointsman.kit.embedded_pg import find_dsn


async def perform(stage: Stage) -> Told:
    await _start_alone(stage)
    load = Load(stage, await stage.agent())
    back: list[asyncio.Task[None]] = []

    async def kill() -> float:
        began = time.time()
        os.kill(_postmaster(stage.database_home), signal.SIGKILL)
        back.append(asyncio.create_task(_note_return(stage, began)))
        return time.time()

    told = await kill_again_and_again(stage, load, kill)
    await asyncio.gather(*back)
    return told


async def _start_alone(stage: Stage) -> None:
    """From here on the stage's database is the one that the gateway has of its own."""
    home = stage.database_home / "alone"
    process = await asyncio.to_thread(lambda: start_alone(home, stage.folder, stage.upstream, **QUICK))
    stage.replicas.append(Replica("replica-1", process))
    stage.database_home, stage.dsn = home, find_dsn(home) or ""
    stage.secrets["key admin"] = (home / "admin-key").read_text().strip()
    stage.secrets["database password"] = urlsplit(stage.dsn).password or ""


def _postmaster(home: Path) -> int:
    (file,) = home.resolve().rglob("postmaster.pid")
    return int(file.read_text().split("\n", 1)[0])


async def _note_return(stage: Stage, began: float) -> None:
    """Note the outage once the server takes connections again."""
    while True:
        await asyncio.sleep(0.02)
        try:
            connection = await connect(stage.dsn, role=None)
        except AWAY:
            continue
        await connection.close()
        stage.record.fault("database.away", began)
        return


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("database", __doc__ or "", count=50, duration=420, sample=2),
            perform,
            title="PostgreSQL killed hard under load, again and again",
            required=("G1", "G5", "G6", "G7", "G10"),
            replicas=0,
        )
    )
