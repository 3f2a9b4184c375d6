"""Which engine does a job and on which target: what the job asks for, what its worker prefers, what is there, healthy and free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pointsman.breakers.breaking import Subject
from pointsman.execution import queries
from pointsman.execution.connections import Capacity, read_capacity
from pointsman.execution.errors import EngineNotFound, SandboxRefused, TargetNotFound
from pointsman.execution.policy import why_not
from pointsman.execution.rows import ExecutionEngine, ExecutionTarget
from pointsman.jobs import attempts
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import Waiting
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Database
from pointsman.kit.problems import Problem, Unavailable

_AGE = 1.0  # seconds after which the catalogue is read again, whatever was or was not announced
_AVOIDED = timedelta(seconds=30)  # a target that failed, where there is another one
_MANAGED = "managed_agent"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Choice:
    """How and where a job is to be done."""

    engine: ExecutionEngine
    target: ExecutionTarget
    capacity: Capacity


@dataclass(slots=True)
class _Known:
    read_at: float = float("-inf")
    engines: dict[str, ExecutionEngine] = field(default_factory=dict[str, ExecutionEngine])
    targets: dict[str, ExecutionTarget] = field(default_factory=dict[str, ExecutionTarget])
    busy: Mapping[str, int] = field(default_factory=dict[str, int])


class Catalogue:
    """The active engines and targets as this process knows them, at most a second old, and which targets have failed lately."""

    def __init__(self, db: Database, is_shut: Callable[[Subject], bool]) -> None:
        """`is_shut` says which breakers are open: other targets are preferred."""
        self._db = db
        self._is_shut = is_shut
        self._known = _Known()
        self._reading = asyncio.Lock()
        self._avoided: dict[str, float] = {}

    def forget(self, _id: str | None = None) -> None:
        """Something was changed."""
        self._known.read_at = float("-inf")

    def avoid(self, target_id: str) -> None:
        """It has just failed: others are preferred for a while."""
        self._avoided[target_id] = time.monotonic() + _AVOIDED.total_seconds()

    async def targets(self) -> list[ExecutionTarget]:
        """All active targets. Raises Unavailable."""
        return list((await self._read()).targets.values())

    async def find_target(self, target_id: str) -> ExecutionTarget | None:
        """An active target. Raises Unavailable."""
        return (await self._read()).targets.get(target_id)

    async def choose(self, job: Waiting, worker: WorkerConfig, spec: JobSpec) -> Choice:
        """Engine and target of the job's next attempt. Raises EngineNotFound, TargetNotFound, SandboxRefused, Unavailable."""
        try:
            return self._choose(await self._read(), job, worker, spec)
        except Unavailable:
            raise
        except Problem:
            # What is not there, or does not suffice, may have been made or changed since the catalogue was read.
            self.forget()
            return self._choose(await self._read(), job, worker, spec)

    def _choose(self, known: _Known, job: Waiting, worker: WorkerConfig, spec: JobSpec) -> Choice:
        engine = _engine(known, job, worker)
        target = _asked(known, job) if job.target_id is not None else self._best(known, job, engine, spec)
        return Choice(engine, target, read_capacity(target.capacity))

    def _best(self, known: _Known, job: Waiting, engine: ExecutionEngine, spec: JobSpec) -> ExecutionTarget:
        """Of those in the pool that may take it: one that has not failed lately, with the largest part of it free."""
        fitting = [target for target in known.targets.values() if target.worker_pool == job.worker_pool and _fits(target, engine)]
        if not fitting:
            raise TargetNotFound(
                f"The pool {job.worker_pool} has no active target for engines of type {engine.type}.",
                hint="`pointsman targets list` shows what there is.",
            )
        refusals = {target.id: why_not(target, job.tenant_id, spec) for target in fitting}
        allowed = [target for target in fitting if not refusals[target.id]]
        if not allowed:
            raise SandboxRefused(" ".join(refusals.values()), hint="Ask for less, or have the operator change a target.")
        now = time.monotonic()
        return min(allowed, key=lambda target: (self._left_alone(target, now), _load(known, target), target.id))

    def _left_alone(self, target: ExecutionTarget, now: float) -> bool:
        return self._is_shut(Subject("target", target.id)) or self._avoided.get(target.id, 0.0) > now

    async def _read(self) -> _Known:
        async with self._reading:
            if time.monotonic() - self._known.read_at > _AGE:
                began = time.monotonic()
                async with self._db.connection() as connection:
                    engines = await queries.list_engines(connection, kind=None, include_inactive=False, after=None, limit=_MOST)
                    targets = await queries.list_targets(
                        connection, kind=None, worker_pool=None, include_inactive=False, after=None, limit=_MOST
                    )
                    busy = await attempts.count_running(connection)
                self._known = _Known(began, {one.id: one for one in engines}, {one.id: one for one in targets}, busy)
            return self._known


def _engine(known: _Known, job: Waiting, worker: WorkerConfig) -> ExecutionEngine:
    asked = job.engine_id or worker.execution_engine_preference
    if asked is not None:
        engine = known.engines.get(asked)
        if engine is None:
            raise EngineNotFound(f"There is no active engine {asked!r}.", hint=f"Active are: {', '.join(sorted(known.engines)) or 'none'}.")
        return engine
    default = next((engine for engine in known.engines.values() if engine.is_default), None)
    if default is None:
        raise EngineNotFound("The job names no engine, and no engine is the default.", hint="Name one, or make one the default.")
    return default


def _asked(known: _Known, job: Waiting) -> ExecutionTarget:
    target = known.targets.get(job.target_id or "")
    if target is None:
        raise TargetNotFound(
            f"There is no active target {job.target_id!r}.", hint=f"Active are: {', '.join(sorted(known.targets)) or 'none'}."
        )
    return target


def _fits(target: ExecutionTarget, engine: ExecutionEngine) -> bool:
    return (target.type == "managed_agents") == (engine.type == _MANAGED)


def _load(known: _Known, target: ExecutionTarget) -> float:
    slots = read_capacity(target.capacity).max_concurrent_jobs
    return known.busy.get(target.id, 0) / slots if slots else float("inf")
