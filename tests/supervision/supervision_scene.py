"""Supervised runs without a gateway and without a worker's process: a team with a scripted leader, and jobs that end as a test says."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from pointsman.agents.resolve import Catalogue
from pointsman.agents.schemas import AgentCreate
from pointsman.agents.service import AgentService
from pointsman.budgets.metering import Budgets
from pointsman.chat.schemas import Accepted, ChatRequest
from pointsman.jobs import claiming, finishing
from pointsman.jobs.queue.port import Message
from pointsman.jobs.rows import Claim, Claimed, Ending, Finish
from pointsman.jobs.service import JobService
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.kit.principal import Principal
from pointsman.llm.models import Models
from pointsman.runs.live import LiveRuns
from pointsman.runs.replay import Replay
from pointsman.settings import Settings, SupervisionSettings
from pointsman.supervision.handling import Supervisor
from pointsman.supervision.service import SupervisionService
from pointsman.teams.crew import crew_of
from pointsman.teams.schemas import TeamCreate
from pointsman.teams.service import TeamService

OPERATOR = Principal(key_id=1, key_name="k", owner_id=None, scopes=frozenset({"admin"}), tenant=None)
PLACE = json.dumps({"id": "local"})


def fix(**changes: Any) -> dict[str, Any]:
    """A turn of the leader's script: the request is a bug, and one job is to fix it."""
    classification = {
        "classification": "code_fix",
        "should_invoke_worker": True,
        "worker_type": "coding",
        "rationale": "The test fails, so there is a bug.",
        "risk_level": "low",
        "requires_human_review": False,
        "jobs": [{"objective": "Fix it.", "commands": [["true"]]}],
    }
    return {"output": classification | changes}


def no_work(kind: str = "answer_only") -> dict[str, Any]:
    """A turn of the leader's script: there is nothing to dispatch."""
    return fix(classification=kind, should_invoke_worker=False, worker_type="none", jobs=[])


class NoHints:
    """No news of changes."""

    def subscribe(self, topic: str, callback: object) -> None:
        del topic, callback


@dataclass
class Supervision:
    """What a gateway and a worker have of supervised runs."""

    db: Database
    owner: Connection
    settings: Settings
    models: Models
    budgets: Budgets
    egress: Egress
    service: SupervisionService
    agents: AgentService
    teams: TeamService
    jobs: JobService

    def supervisor(self, worker: str = "w1") -> Supervisor:
        """A worker's handler of messages."""
        return Supervisor(
            db=self.db,
            models=self.models,
            budgets=self.budgets,
            settings=self.settings,
            worker=worker,
            dead_after=timedelta(seconds=8),
            cancel_job=self.jobs.cancel_within,
        )

    def made_with(self, settings: SupervisionSettings) -> SupervisionService:
        """The service at other settings."""
        return make_service(self.db, self.models, self.budgets, self.egress, settings)

    async def team(self, *turns: dict[str, Any], leader: dict[str, Any] | None = None, **workers: dict[str, Any]) -> str:
        """A supervising team whose leader plays a script; each worker is its role's name and its agent's `worker_config`."""
        script = {"model": "scripted:script", "script": {"turns": list(turns)}}
        await self._agent("boss", script | (leader or {}))
        seats = [{"agent_id": "boss", "role": "leader"}]
        for role, worker_config in (workers or {"coding": {}}).items():
            await self._agent(f"worker-{role}", {"model": "scripted:echo", "worker_config": worker_config})
            seats.append({"agent_id": f"worker-{role}", "role": role})
        await self.teams.create_team(
            OPERATOR, TeamCreate.model_validate({"id": "crew", "name": "Crew", "mode": "supervisor", "agents": seats})
        )
        return "crew"

    async def script(self, *turns: dict[str, Any]) -> None:
        """Give the leader another script."""
        config = {"model": "scripted:script", "script": {"turns": list(turns)}}
        await self.owner.execute("UPDATE agent_info SET config = $1 WHERE id = 'boss'", json.dumps(config))
        self.service = self.made_with(self.settings.supervision)  # it keeps nothing of the former one

    async def ask(
        self, message: str = "It is broken.", *, principal: Principal = OPERATOR, run_id: str | None = None, **more: Any
    ) -> Accepted:
        """Accept a request."""
        crew = crew_of(await self.teams.require_team("crew"))
        request = msgspec.convert({"message": message, **more}, ChatRequest)
        return await self.service.start(principal, crew, request, run_id)

    async def drive(self, run_id: str, worker: str = "w1") -> timedelta | None:
        """Handle one message about the run."""
        async with asyncio.timeout(20):
            return await self.supervisor(worker).handle(Message("supervise", run_id, "linux_worker_pool"))

    async def messages(self, kind: str = "supervise") -> list[str]:
        """What waits in the queue, as ids; it is taken out."""
        rows = await self.owner.fetch(
            "DELETE FROM queue.pgqueuer WHERE entrypoint LIKE $1 || ':%' AND status = 'queued' RETURNING payload", kind
        )
        return [bytes(row["payload"]).decode().partition(" ")[0] for row in rows]

    async def job_ids(self, run_id: str) -> list[uuid.UUID]:
        rows = await self.owner.fetch("SELECT job_id FROM job_details WHERE run_id = $1 ORDER BY ordinal", run_id)
        return [row["job_id"] for row in rows]

    async def begin(self, job: uuid.UUID) -> Claimed:
        """A worker claims the job."""
        async with self.db.transaction() as connection:
            [claimed] = await claiming.claim(connection, [Claim(job, "w9", "direct_ops", "local", PLACE)])
        assert isinstance(claimed, Claimed)
        return claimed

    async def finish(
        self, job: uuid.UUID, ending: Ending = "done", *, reason: str | None = None, result: Any = None, attempt: Claimed | None = None
    ) -> None:
        """A worker does the job."""
        claimed = attempt or await self.begin(job)
        evidence = json.dumps({"source": "cgroup.oom_kill", "detail": "1"}) if ending == "ran_out" else None
        end = Finish(claimed, ending, reason, None if result is None else json.dumps(result), evidence=evidence)
        async with self.db.transaction() as connection:
            assert await finishing.finish(connection, [end]) == [True]

    async def run(self, run_id: str) -> dict[str, Any]:
        row = await self.owner.fetchrow(
            "SELECT status, epoch, result::text AS result, error::text AS error, completed_at FROM runs WHERE id = $1", run_id
        )
        assert row is not None
        return {
            "status": row["status"],
            "epoch": row["epoch"],
            "result": json.loads(row["result"] or "{}"),
            "error": json.loads(row["error"] or "null"),
        }

    async def story(self, run_id: str) -> dict[str, Any]:
        row = await self.owner.fetchrow(
            """
            SELECT s.*, s.supervisor_response::text AS response, d.stage, d.round, d.claims, d.worker, d.workspace FROM supervisor_runs s
            JOIN supervisor_details d ON d.supervisor_run_id = s.id WHERE d.run_id = $1
            """,
            run_id,
        )
        assert row is not None
        return {**dict(row), "response": json.loads(row["response"] or "null")}

    async def events(self, run_id: str) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.owner.fetch("SELECT data::text AS data FROM run_events WHERE run_id = $1 ORDER BY seq", run_id)
        told = [event for row in rows for event in json.loads(row["data"])]
        assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1))  # contiguous, and each once
        return [(name, data) for _, name, data in told]

    async def names(self, run_id: str) -> list[str]:
        return [name for name, _ in await self.events(run_id)]

    async def said(self, run_id: str) -> list[tuple[str, str]]:
        """The run's messages: who, and the text."""
        rows = await self.owner.fetch("SELECT content::text AS content FROM messages WHERE run_id = $1 ORDER BY position", run_id)
        contents = [json.loads(row["content"]) for row in rows]
        return [(content["role"], "".join(part["text"] for part in content["parts"])) for content in contents]

    async def usage(self, run_id: str) -> list[tuple[str, int, int, bool]]:
        rows = await self.owner.fetch(
            """
            SELECT t.agent_id, t.prompt_tokens, t.completion_tokens, t.is_estimated
            FROM usage_details d JOIN token_usage t ON t.id = d.usage_id
            WHERE d.run_id = $1 ORDER BY d.call
            """,
            run_id,
        )
        return [tuple(row) for row in rows]  # pyright: ignore[reportArgumentType] - a record is its values

    async def _agent(self, agent_id: str, config: dict[str, Any]) -> None:
        body = {
            "id": agent_id,
            "name": agent_id.title(),
            "description": f"{agent_id} helps",
            "template": f"You are {agent_id}.",
            "config": config,
        }
        await self.agents.create_agent(OPERATOR, AgentCreate.model_validate(body))


def make_service(db: Database, models: Models, budgets: Budgets, egress: Egress, settings: SupervisionSettings) -> SupervisionService:
    """What a gateway has of them."""
    replay = Replay(db, LiveRuns())
    return SupervisionService(
        db, catalogue=Catalogue(db, NoHints()), models=models, budgets=budgets, egress=egress, replay=replay, settings=settings
    )


@asynccontextmanager
async def supervising(db: Database, owner: Connection, settings: Settings) -> AsyncGenerator[Supervision]:
    """All of it, with the loops that it needs."""
    models, egress = Models(settings), Egress(settings.egress.allow)
    budgets = Budgets(db, NoHints(), settings.budgets.output_tokens)
    service = make_service(db, models, budgets, egress, settings.supervision)
    loop = asyncio.create_task(budgets.run())
    try:
        yield Supervision(db, owner, settings, models, budgets, egress, service, AgentService(db, models), TeamService(db), JobService(db))
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await models.aclose()
        await egress.aclose()
