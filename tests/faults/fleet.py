"""Workers of a fault program: real processes on the stage's database, killed, armed with failpoints, and gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.gateways import KEYRING
from tests.faults.stage import QUICK, Stage

_READY = re.compile(r"worker (wrk_\w+) does jobs")
_START_WITHIN = 60.0


@dataclass
class WorkerProcess:
    """A worker and what it calls itself."""

    id: str
    process: subprocess.Popen[bytes]
    log: Path
    ended: float | None = None  # when its end was seen, by the clock of this machine, which is the database's too

    @property
    def is_alive(self) -> bool:
        if self.ended is None and self.process.poll() is not None:
            self.ended = time.time()
        return self.ended is None


@dataclass
class Fleet:
    """All workers of a program, the dead ones too."""

    stage: Stage
    variables: dict[str, str] = field(default_factory=dict[str, str])
    workers: list[WorkerProcess] = field(default_factory=list[WorkerProcess])

    async def start(self, *, slots: int = 16, failpoint: str | None = None) -> WorkerProcess:
        """Start one more, and wait until it works; `failpoint` is a spec of the place where it dies."""
        return await asyncio.to_thread(self._start, slots, failpoint)

    def alive(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.is_alive]

    async def kill(self, worker: WorkerProcess) -> None:
        """`kill -9`, noted."""
        began = time.time()
        await asyncio.to_thread(self._kill, worker)
        self.stage.record.fault("failpoint", began, detail=worker.id)

    async def dies(self, worker: WorkerProcess, within: float) -> bool:
        """Whether it dies by itself in so many seconds."""
        deadline = time.monotonic() + within
        while worker.is_alive and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return not worker.is_alive

    def deaths(self) -> dict[str, float]:
        """When each worker that is gone went."""
        return {worker.id: worker.ended for worker in self.workers if not worker.is_alive and worker.ended is not None}

    def stop(self) -> None:
        """End those that live."""
        for worker in self.alive():
            self._kill(worker)

    def _kill(self, worker: WorkerProcess) -> None:
        worker.process.kill()
        worker.process.wait()
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        worker.ended = worker.ended or time.time()

    def _start(self, slots: int, failpoint: str | None) -> WorkerProcess:
        log = self.stage.folder / f"worker-{os.urandom(4).hex()}.log"
        environment = {
            **os.environ,
            **QUICK,
            **self.variables,
            "POINTSMAN_DATABASE__URL": self.stage.dsn,
            "POINTSMAN_DATA_DIR": str(self.stage.folder / "worker-data"),
            "POINTSMAN_KEYRING__KEYS": json.dumps([KEYRING]),
            **({"POINTSMAN_FAILPOINTS": json.dumps([failpoint])} if failpoint else {}),
        }
        with log.open("wb") as talk:
            # It holds our pipe: whatever becomes of the program, its workers end with it.
            command = [sys.executable, "-m", "pointsman", "worker", "--attached", "--slots", str(slots)]
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=talk)
        deadline = time.monotonic() + _START_WITHIN
        while (said := _READY.search(log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"the worker did not start: {log.read_text()[-4000:]}")
            time.sleep(0.02)
        worker = WorkerProcess(said[1], process, log)
        self.workers.append(worker)
        return worker


@asynccontextmanager
async def fleet(stage: Stage, count: int, **variables: str) -> AsyncGenerator[Fleet]:
    """So many workers to begin with; none is left when the block ends."""
    made = Fleet(stage, variables)
    try:
        for begun in [asyncio.create_task(made.start()) for _ in range(count)]:
            await begun
        yield made
    finally:
        await asyncio.to_thread(made.stop)
