"""An agent resolved into something runnable, cached per process: a write here is seen at once, one elsewhere by NOTIFY or age."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from pointsman.agents import queries, service
from pointsman.agents.errors import AgentPromptMissing
from pointsman.kit.db import Database, Record
from pointsman.prompts import writing
from pointsman.skills import writing as skill_writing
from pointsman.skills.pinning import pin_skills
from pointsman.skills.rows import PinnedSkill

MAX_AGE = timedelta(seconds=2)
CAPACITY = 10_000


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """An agent's config as runs use it; `AgentConfig` was validated when it was written. Tools and skills are in `ResolvedAgent`."""

    model: str
    model_fallbacks: tuple[str, ...] = ()
    model_settings: dict[str, Any] = {}
    enable_memory: bool = True
    enable_history: bool = True
    num_history_runs: int = 3
    enable_reasoning: bool = False
    reasoning_min_steps: int = 1
    reasoning_max_steps: int = 10
    knowledge: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    script: dict[str, Any] | None = None
    worker_config: dict[str, Any] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The model, then its fallbacks."""
        return (self.model, *self.model_fallbacks)


class ResolvedAgent(msgspec.Struct, frozen=True):
    """An agent with the prompt text and tools it runs on; stored in `run_snapshots`, hence part of the database's contract.

    `tools` are the agent's, then those of the prompt that the agent does not list itself. `skills` are pinned to their version, so that a
    run works with one and the same to its end.
    """

    agent_id: str
    name: str
    config: RunConfig
    prompt_id: str
    prompt_version: int
    template: str
    tools: tuple[dict[str, Any], ...] = ()
    skills: tuple[PinnedSkill, ...] = ()

    @property
    def prompt_ref(self) -> str:
        """`prompt@version`, for logs and events."""
        return f"{self.prompt_id}@{self.prompt_version}"


class Snapshot(NamedTuple):
    """What a run's subject was resolved into as canonical JSON, and the SHA-256 of it in hex: equal content has an equal hash."""

    hash: str
    data: bytes


class Hints(Protocol):
    """Where news of changes comes from; `kit.notify.Listener` is one."""

    def subscribe(self, topic: str, callback: Callable[[str | None], None], /) -> None: ...


class Catalogue:
    """Resolved agents by id.

    Concurrent misses share one query. What a query read is only kept if nothing was forgotten while it ran.
    """

    def __init__(self, db: Database, hints: Hints, *, max_age: timedelta = MAX_AGE) -> None:
        self._db = db
        self._max_age = max_age.total_seconds()
        self._kept: dict[str, tuple[float, ResolvedAgent]] = {}
        self._loading: dict[str, asyncio.Task[ResolvedAgent]] = {}
        self._changes = 0
        hints.subscribe(service.TOPIC, self.forget_agent)
        hints.subscribe(writing.TOPIC, self.forget_prompt)
        hints.subscribe(skill_writing.TOPIC, self.forget_skill)

    async def resolve(self, agent_id: str) -> ResolvedAgent:
        """What the agent runs on. Raises AgentNotFound, AgentPromptMissing, SkillMissing."""
        kept = self._kept.get(agent_id)
        if kept is not None and time.monotonic() - kept[0] < self._max_age:
            return kept[1]
        task = self._loading.get(agent_id)
        if task is None:
            task = asyncio.create_task(self._load(agent_id))
            self._loading[agent_id] = task
            task.add_done_callback(lambda done: self._loaded(agent_id, done))
        # Shielded: the others who wait for this query must not be cancelled with the caller who happened to start it.
        return await asyncio.shield(task)

    def forget_agent(self, agent_id: str | None) -> None:
        """The agent has changed; None: any may have."""
        self._forget()
        if agent_id is None:
            self._kept.clear()
        else:
            self._kept.pop(agent_id, None)

    def forget_prompt(self, prompt_id: str | None) -> None:
        """The prompt or a label of it has changed; None: any may have."""
        self._forget()
        stale = [key for key, (_, agent) in self._kept.items() if prompt_id is None or agent.prompt_id == prompt_id]
        for key in stale:
            del self._kept[key]

    def forget_skill(self, skill_id: str | None) -> None:
        """The skill has changed; None: any may have."""
        self._forget()
        stale = [key for key, (_, agent) in self._kept.items() if any(skill_id in {None, skill.id} for skill in agent.skills)]
        for key in stale:
            del self._kept[key]

    def _forget(self) -> None:
        # Queries under way may have read the old rows: who asks from now on starts a new one.
        self._changes += 1
        self._loading.clear()

    async def _load(self, agent_id: str) -> ResolvedAgent:
        started, changes = time.monotonic(), self._changes
        async with self._db.connection() as connection:
            row = await connection.fetchrow(queries.RESOLVE, agent_id)
            if row is None:
                raise service.not_found(agent_id)
            lists = _lists.decode(row["config"])
            skills = await pin_skills(connection, agent_id, lists.skills) if lists.skills else ()
        agent = _resolved(agent_id, row, lists.tools, skills)
        if changes == self._changes:
            self._keep(agent_id, started, agent)
        return agent

    def _keep(self, agent_id: str, started: float, agent: ResolvedAgent) -> None:
        self._kept.pop(agent_id, None)
        if len(self._kept) >= CAPACITY:
            del self._kept[next(iter(self._kept))]
        self._kept[agent_id] = (started, agent)

    def _loaded(self, agent_id: str, task: asyncio.Task[ResolvedAgent]) -> None:
        if self._loading.get(agent_id) is task:
            del self._loading[agent_id]
        if not task.cancelled():
            task.exception()  # marks it as seen, also where every caller has left


def snapshot(subject: msgspec.Struct) -> Snapshot:
    """What `run_snapshots` keeps of a resolved agent or team."""
    data = msgspec.json.encode(subject, order="deterministic")
    return Snapshot(hashlib.sha256(data).hexdigest(), data)


def from_snapshot(data: bytes | str) -> ResolvedAgent:
    """The resolved agent that a run began with."""
    return _snapshots.decode(data)


class _Lists(msgspec.Struct):
    tools: list[dict[str, Any]] = []
    skills: list[str] = []


_snapshots = msgspec.json.Decoder(ResolvedAgent)
_configs = msgspec.json.Decoder(RunConfig)
_lists = msgspec.json.Decoder(_Lists)
_prompt_tools = msgspec.json.Decoder(list[dict[str, Any]])


def _resolved(agent_id: str, row: Record, tools: list[dict[str, Any]], skills: tuple[PinnedSkill, ...]) -> ResolvedAgent:
    if row["template"] is None:
        raise _missing(agent_id, row)
    return ResolvedAgent(
        agent_id=agent_id,
        name=row["name"],
        config=_configs.decode(row["config"]),
        prompt_id=row["prompt_service_id"],
        prompt_version=row["version"],
        template=row["template"],
        tools=_joined(tools, _prompt_tools.decode(row["tools"])),
        skills=skills,
    )


def _joined(own: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    named = {(tool.get("type"), tool.get("name")) for tool in own}
    return (*own, *(tool for tool in prompts if (tool.get("type"), tool.get("name")) not in named))


def _missing(agent_id: str, row: Record) -> AgentPromptMissing:
    prompt = row["prompt_service_id"]
    if not row["has_prompt"]:
        return AgentPromptMissing(
            f"The prompt {prompt} of the agent {agent_id} does not exist any more.",
            hint=f"Create it again with POST /v2/prompts, or send another prompt_service_id with PATCH /v2/agents/{agent_id}.",
        )
    label = row["pinned_label"]
    pinned = f"version {row['pinned_version']}" if label is None else f"label {label}"
    return AgentPromptMissing(
        f"The agent {agent_id} is pinned to {pinned} of the prompt {prompt}, which is gone.",
        hint=f"Set it with PUT /v2/prompts/{prompt}/labels/{label}, or move the pin with PATCH /v2/agents/{agent_id}."
        if label is not None
        else f"Move the pin with PATCH /v2/agents/{agent_id}.",
    )
