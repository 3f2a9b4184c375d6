"""Jobs of a fault program, and what is judged of them from the rows they left: ends, attempts, effects, leftovers, limits."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from asyncpg import PostgresError
from tests.faults.clients import BROKEN
from tests.faults.stage import Replica, Stage

from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners import make_runner
from pointsman.kit.db import Connection, Record, connect
from pointsman.settings import DatabaseSettings, Settings

RECOVERY = 30.0  # seconds from the last fault that hit a job to its end, beyond its own work
ENDED = {"completed", "failed", "oom", "failed_circuit_open"}
_FINAL = {"completed": "completed", "failed": "failed", "oom": "oom", "failed_circuit_open": "open"}


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted; `work` is the longest that an attempt at it takes by itself, in seconds, `ends` how it has to end."""

    id: str
    work: float
    ends: frozenset[str]
    waits: float = 0.0  # what it may wait for others that go before it, and between attempts
    tried_again: bool = False  # by somebody, so that it may have ended several times


@dataclass
class Work:
    """What was submitted, and the faults that nobody's attempt tells of (of the database and of gateways), as their ends."""

    stage: Stage
    effects: Path  # a folder that sandboxes may write to
    jobs: dict[str, Submitted] = field(default_factory=dict[str, Submitted])
    outages: list[float] = field(default_factory=list[float])
    refused: Counter[str] = field(default_factory=Counter[str])

    @property
    def marker(self) -> str:
        """In the command line of everything that the jobs run."""
        return f"faults-{self.stage.options.program}-{self.stage.options.seed}-{os.getpid()}"

    def effect(self, seconds: float) -> list[str]:
        """A command that leaves a line with its attempt in the file of its job, outside, and then takes so long."""
        script = 'echo "$JOB_ATTEMPT" >> "/effects/$JOB_ID"; echo "$0"; sleep "$1"'
        return ["sh", "-c", script, self.marker, f"{seconds:g}"]

    async def submit(
        self,
        *commands: list[str],
        work: float,
        ends: Iterable[str] = ("completed",),
        waits: float = 0.0,
        tried_again: bool = False,
        to: Replica | None = None,
        **more: Any,
    ) -> Submitted:
        """A job, submitted until somebody accepts it: with a key, so that it is one job however often it was asked for."""
        body = {"prompt": "a fault", "job_spec": {"commands": list(commands), "max_memory_mb": 128, **more.pop("spec", {})}, **more}
        headers = {"idempotency-key": f"job-{uuid.uuid4()}"}
        replica = to
        while True:
            answer = await self.call("POST", "/v2/jobs", body, headers=headers, to=replica)
            if answer is not None and answer.status_code == 202:
                job = Submitted(answer.json()["id"], work, frozenset(ends), waits, tried_again)
                self.jobs[job.id] = job
                return job
            assert answer is None or answer.status_code in {409, 503}, f"{answer.status_code} {answer.text}"
            replica = None
            await asyncio.sleep(0.1)

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, to: Replica | None = None
    ) -> httpx.Response | None:
        """One request; None where the connection broke."""
        key = {"authorization": f"Bearer {self.stage.secrets['key admin']}"}
        replica = to or self.stage.any_replica()
        try:
            return await self.stage.http.request(method, replica.url + path, json=body, headers={**key, **(headers or {})})
        except BROKEN as error:
            self.refused[type(error).__name__] += 1
            return None

    async def left(self, *, on: str) -> int:
        """How many jobs of this target have not come to an end; 0 while the database is away."""
        statement = """SELECT count(*) FROM job_details d JOIN execution_jobs j ON j.id = d.job_id
                       WHERE d.target_id = $1 AND j.completed_at IS NULL"""
        with suppress(OSError, PostgresError):
            connection = await connect(self.stage.dsn, role=None)
            try:
                return await connection.fetchval(statement, on)
            finally:
                await connection.close()
        return 0

    async def ended(self, jobs: Iterable[Submitted], within: float) -> bool:
        """Whether all of them end in so many seconds."""
        waiting = [uuid.UUID(job.id) for job in jobs]
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            with suppress(OSError):
                connection = await connect(self.stage.dsn, role=None)
                try:
                    left = await connection.fetchval(
                        "SELECT count(*) FROM execution_jobs WHERE id = ANY($1) AND completed_at IS NULL", waiting
                    )
                finally:
                    await connection.close()
                if not left:
                    return True
            await asyncio.sleep(0.1)
        return False


async def judge(work: Work, deaths: Mapping[str, float]) -> list[str]:
    """What is wrong with the jobs, each as a sentence."""
    connection = await connect(work.stage.dsn, role=None)
    try:
        rows = await connection.fetch("SELECT * FROM execution_jobs")
        attempts = defaultdict[str, list[Record]](list)
        for attempt in await connection.fetch("SELECT * FROM job_attempts ORDER BY job_id, epoch"):
            attempts[str(attempt["job_id"])].append(attempt)
        finishes = await _finishes(connection)
        left = await messages_left(connection)
    finally:
        await connection.close()
    found = {str(row["id"]): row for row in rows}
    failures = [f"the job {job_id} was accepted and is not there" for job_id in work.jobs.keys() - found.keys()]
    failures += [f"the job {job_id} is there, and nobody was told so" for job_id in found.keys() - work.jobs.keys()]
    failures += [f"{left} messages are left in the queue"] if left else []
    for job_id, job in work.jobs.items():
        if job_id in found:
            failures += _wrong(job, found[job_id], attempts[job_id], finishes[job_id])
            failures += _late(job, found[job_id], attempts[job_id], deaths, work.outages)
            failures += _repeated(work.effects / job_id, job_id, attempts[job_id])
    return failures


async def messages_left(connection: Connection) -> int:
    """That are left when whoever lives has had the time to find that there is nothing to do: those of the dead are found after 8 s."""
    deadline = time.monotonic() + 20
    while (left := await connection.fetchval("SELECT count(*) FROM queue.pgqueuer")) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return left


async def _finishes(connection: Connection) -> Counter[str]:
    rows = await connection.fetch(
        "SELECT e.job_id, count(*) AS n FROM job_events e CROSS JOIN LATERAL json_array_elements(e.data) one"
        " WHERE one->>1 = 'job.finished' GROUP BY 1"
    )
    return Counter({str(row["job_id"]): row["n"] for row in rows})


def _wrong(job: Submitted, row: Record, attempts: Sequence[Record], finishes: int) -> list[str]:
    """Not one end, or not the end it must have."""
    status = row["status"]
    said = f"the job {job.id} ({status}: {row['last_failure_reason']})"
    failures: list[str] = []
    if status not in job.ends:
        failures.append(f"{said} should have ended {' or '.join(sorted(job.ends))}")
    if finishes != 1 and not (job.tried_again and finishes):
        failures.append(f"{said} has {finishes} events of an end")
    if any(attempt["status"] == "running" for attempt in attempts):
        failures.append(f"{said} has an attempt that is said to be running")
    if sum(attempt["status"] == "completed" for attempt in attempts) != (status == "completed"):
        failures.append(f"{said} has attempts {[attempt['status'] for attempt in attempts]}")
    if status == "completed" and (row["result"] is None or attempts[-1]["status"] != _FINAL[status]):
        failures.append(f"{said} has no result of its last attempt")
    return failures


def _late(job: Submitted, row: Record, attempts: Sequence[Record], deaths: Mapping[str, float], outages: Sequence[float]) -> list[str]:
    """Longer than 30 s from the last fault that hit it, beyond its own work."""
    if row["completed_at"] is None:
        return []
    began, ended = row["created_at"].timestamp(), row["completed_at"].timestamp()
    hit = [deaths[attempt["worker"]] for attempt in attempts if attempt["status"] == "lost" and attempt["worker"] in deaths]
    if job.tried_again:
        return []
    last = max([began, *hit, *(outage for outage in outages if began <= outage <= ended)])
    longest = RECOVERY + job.work + job.waits
    return [f"the job {job.id} ended {ended - last:.1f} s after the last fault, {longest:g} s at most"] if ended - last > longest else []


def _repeated(file: Path, job_id: str, attempts: Sequence[Record]) -> list[str]:
    """An effect twice under one epoch, or under one that never was."""
    if not file.exists():
        return []
    told = Counter(file.read_text().split())
    known = {str(attempt["epoch"]) for attempt in attempts}
    failures = [f"the job {job_id} had its effect {n} times in attempt {epoch}" for epoch, n in told.items() if n > 1]
    return failures + [f"the job {job_id} had an effect in attempt {epoch}, which never was" for epoch in told.keys() - known]


async def leftovers(work: Work, target_ids: Iterable[str]) -> list[str]:
    """Processes, containers and folders of jobs that are there although none runs any more."""
    failures = [f"a process is left: {line}" for line in _processes(work.marker)]
    settings = Settings(data_dir=work.stage.folder / "worker-data", database=DatabaseSettings.model_validate({"url": work.stage.dsn}))
    connection = await connect(work.stage.dsn, role=None)
    try:
        targets = await connection.fetch("SELECT * FROM execution_targets WHERE id = ANY($1)", list(target_ids))
    finally:
        await connection.close()
    for row in targets:
        runner = make_runner(ExecutionTarget.of(row), settings)
        try:
            failures += [f"a sandbox is left on {row['id']}: {handle}" for handle in await runner.list_handles()]
        finally:
            await runner.aclose()
    return failures


def _processes(marker: str) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if marker in line:
                    found.append(f"{entry.name} {line[:200]}")
    return found


async def most_at_once(dsn: str, column: str) -> dict[str, int]:
    """Of the attempts of each target (or pool): how many there were at most at the same moment."""
    connection = await connect(dsn, role=None)
    try:
        rows = await connection.fetch("SELECT target_id, worker_pool, started_at, ended_at FROM job_attempts")
    finally:
        await connection.close()
    moments = defaultdict[str, list[tuple[Any, int]]](list)
    for row in rows:
        moments[row[column]] += [(row["started_at"], 1)]
        moments[row[column]] += [(row["ended_at"], -1)] if row["ended_at"] is not None else []
    most: dict[str, int] = {}
    for name, changes in moments.items():
        running = highest = 0
        for _, change in sorted(changes):  # an end before a beginning at the same moment
            running += change
            highest = max(highest, running)
        most[name] = highest
    return most
