"""From a classification to jobs: who does them, what they may do, whether they ask first; and what became of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pointsman.jobs.creating import create_jobs
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import NewJob
from pointsman.jobs.states import ENDED, Status
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.supervision import queries
from pointsman.supervision.classification import Classification, RiskLevel
from pointsman.supervision.steps import Facts
from pointsman.supervision.team import SupervisingTeam, Worker, choose_worker
from pointsman.supervision.wording import EngineOffer, JobStory

AskAt = Literal["low", "medium", "high", "never"]

_JOBS = uuid.UUID("6f6a1c1e-5d0b-4c64-9d8e-1f5f3f1c2a77")
_RISKS: tuple[RiskLevel, ...] = ("low", "medium", "high")
_ANYTHING = ("*",)
_ACTING = {"code_agent": ("command", "write_file", "edit_file", "delete_file")}
_DANGERS = (
    *("allow_git_push", "allow_merge", "allow_migrations", "allow_apply_or_deploy", "allow_production_change"),
    *("allow_delete_files", "network_access", "allow_dependency_install"),
)


def plan_jobs(
    facts: Facts, team: SupervisingTeam, classified: Classification, round_: int, engines: Sequence[EngineOffer], ask_at: AskAt
) -> list[NewJob]:
    """The jobs of a plan. Their ids follow from the run: planned again after a crash, they are the same jobs."""
    if not classified.jobs:
        return []
    worker = choose_worker(team.workers, classified.worker_type)
    engine = _engine_of(worker, classified, engines)
    ids = ids_of(facts.run_id, round_, len(classified.jobs))
    return [_job(facts, classified, spec, id_, worker, engine, engines, ask_at) for id_, spec in zip(ids, classified.jobs, strict=True)]


def ids_of(run_id: str, round_: int, count: int) -> list[uuid.UUID]:
    """The ids of the jobs of a run's plan."""
    return [uuid.uuid5(_JOBS, f"{run_id}/{round_}/{number}") for number in range(count)]


def supervisor_run_id(run_id: str) -> uuid.UUID:
    """The id of a run's story in `supervisor_runs`."""
    return uuid.uuid5(_JOBS, run_id)


def asks_first(classified: Classification, spec: JobSpec, ask_at: AskAt) -> bool:
    """Whether a job asks a person before it acts: the leader says so, it is risky, or it wants what is dangerous."""
    if classified.requires_human_review or classified.classification == "high_risk_escalation":
        return True
    if spec.operation_mode == "dangerous_remediation" or any(getattr(spec, danger) for danger in _DANGERS):
        return True
    return ask_at != "never" and _RISKS.index(classified.risk_level) >= _RISKS.index(ask_at)


def tightened(worker: WorkerConfig, engine: EngineOffer | None) -> WorkerConfig:
    """The same, but it asks before it does anything that it is not denied; where an engine has tools that only look, not for those."""
    asks = _ACTING.get(engine.type, _ANYTHING) if engine is not None else _ANYTHING
    ask = list(dict.fromkeys([*worker.permissions.ask, *asks]))
    return worker.model_copy(update={"permissions": worker.permissions.model_copy(update={"ask": ask})})


async def dispatch(connection: Connection, jobs: Sequence[NewJob], run_id: str) -> None:
    """Send them out within the caller's transaction, each with the files that the request came with."""
    if jobs:
        await create_jobs(connection, jobs)
        await queries.give_workspace(connection, run_id, [job.id for job in jobs])


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a run, and what is told of it."""

    id: uuid.UUID
    status: Status
    cancel_requested: bool
    story: JobStory

    @property
    def is_live(self) -> bool:
        """Whether it goes on."""
        return self.status not in ENDED


async def list_jobs(connection: Connection, supervisor_run: uuid.UUID) -> list[Job]:
    """The jobs of a run in the order in which they went out."""
    jobs: list[Job] = []
    for row in await queries.list_jobs(connection, supervisor_run):
        result: dict[str, Any] | None = json_text.decode(row["result"]) if row["result"] else None
        objective = str(json_text.decode(row["job_spec"]).get("objective", ""))
        story = JobStory(str(row["id"]), objective, row["status"], row["last_failure_reason"], result)
        jobs.append(Job(row["id"], row["status"], row["cancel_requested"], story))
    return jobs


def _engine_of(worker: Worker, classified: Classification, engines: Sequence[EngineOffer]) -> str | None:
    """The worker's own preference, else the leader's, else the default one; None where there is none."""
    preferred = worker.worker_config.get("execution_engine_preference") or classified.execution_engine
    return preferred or next((engine.id for engine in engines if engine.is_default), None)


def _job(
    facts: Facts,
    classified: Classification,
    spec: JobSpec,
    id_: uuid.UUID,
    worker: Worker,
    engine: str | None,
    engines: Sequence[EngineOffer],
    ask_at: AskAt,
) -> NewJob:
    config = WorkerConfig.model_validate(worker.worker_config)
    if asks_first(classified, spec, ask_at):
        config = tightened(config, next((one for one in engines if one.id == engine), None))
    return NewJob(
        id=id_,
        tenant_id=facts.tenant_id,
        prompt=spec.objective,
        kind=spec.kind or worker.agent_id,
        job_spec=json_text.encode(spec.model_dump(mode="json")),
        timeout_seconds=spec.max_runtime_minutes * 60,
        max_attempts=spec.max_attempts,
        most_memory_mb=spec.max_memory_mb,
        worker_config=json_text.encode(config.model_dump(mode="json")),
        engine_id=engine,
        worker_pool=config.worker_pool,
        key_id=facts.key_id,
        user_id=facts.user_id,
        agent_id=worker.agent_id,
        run_id=facts.run_id,
        supervisor_run_id=facts.supervisor_run_id,
    )
