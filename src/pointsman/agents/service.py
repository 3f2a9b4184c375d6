"""The verbs of agents, each one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from pointsman.agents import binding, queries
from pointsman.agents.config import check_models, parse_config
from pointsman.agents.errors import AgentExists, AgentNotFound
from pointsman.agents.ports import ModelChecks
from pointsman.agents.rows import Agent, BoundAgent
from pointsman.agents.schemas import AgentCreate, AgentPatch, AgentRead
from pointsman.audit.service import record
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_read import GroupRead
from pointsman.kit.ids import new_id
from pointsman.kit.merge_patch import merge_patch
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.skills.pinning import require_skills
from pointsman.tools.sources import ToolSource, require_tools
from pointsman.web.paging import Page, decode_cursor, page_of

TOPIC = "agents"
_NO_SOURCES: Mapping[str, ToolSource] = MappingProxyType({})
Changed = Callable[[str], None]


def _nobody(agent_id: str) -> None:
    del agent_id


class AgentService:
    """Agents as data.

    `changed` is called with the agent's id after each committed change, `prompt_changed` with the id of the prompt that may have
    changed with it, for caches in this process. `sources` know the tools that are not built in, by type.
    """

    def __init__(
        self,
        db: Database,
        models: ModelChecks,
        *,
        sources: Mapping[str, ToolSource] = _NO_SOURCES,
        changed: Changed = _nobody,
        prompt_changed: Changed = _nobody,
    ) -> None:
        self._db = db
        self._sources = sources
        self._reads = GroupRead(db, queries.read_agents)
        self._models = models
        self._changed = changed
        self._prompt_changed = prompt_changed

    async def create_agent(self, principal: Principal, body: AgentCreate) -> BoundAgent:
        """The new agent; a deleted one comes back as it is now described.

        Raises AgentExists, AgentPromptTaken, AgentPromptUnknown, SkillUnknown, and the Problem of a tool's source.
        """
        await check_models(body.config, self._models)
        agent_id = body.id or new_id("agt")
        columns = _columns(agent_id, body)
        async with self._db.transaction() as connection:
            await require_skills(connection, body.config.skills)
            await require_tools(connection, self._sources, columns["config"]["tools"], "/config/tools")
            agent, action = await _insert(connection, agent_id, columns)
            prompt = await binding.bind_new(connection, principal, agent, body)
            await _announce(connection, principal, action, agent_id, {"prompt_service_id": agent.prompt_service_id})
        self._tell(agent_id)
        return BoundAgent(agent, prompt)

    async def require_agent(self, agent_id: str) -> BoundAgent:
        """An active agent. Raises AgentNotFound."""
        bound = await self._reads.find(agent_id)
        if bound is None:
            raise not_found(agent_id)
        return bound

    async def list_providers(self) -> list[str]:
        """The providers of all models that active agents ask first or fall back to, without their models' names."""
        async with self._db.connection() as connection:
            return await queries.list_providers(connection)

    async def list_agents(
        self, *, tags: Sequence[str] = (), q: str | None = None, include_inactive: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[AgentRead]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_agents(
                connection, tags=tags, q=q, include_inactive=include_inactive, after=key[0] if key else None, limit=limit + 1
            )
        return page_of(rows, limit, AgentRead.of, lambda bound: (bound.agent.id,))

    async def update_agent(self, principal: Principal, agent_id: str, patch: AgentPatch) -> BoundAgent:
        """The agent as changed.

        Raises AgentNotFound, AgentPromptUnknown, AgentPromptShared, AgentPromptPinned, SkillUnknown, InvalidRequest, and the Problem of a
        tool's source.
        """
        bound = None
        while bound is None:
            checked = await self._checked_base(agent_id, patch)
            async with self._db.transaction() as connection:
                agent = await _lock_active(connection, agent_id)
                if checked is None or checked == agent.config:
                    bound = await self._apply(connection, principal, agent, patch)
        self._tell(agent_id)
        return bound

    async def delete_agent(self, principal: Principal, agent_id: str) -> None:
        """Deleted softly, with the prompt that was made with it unless others use it; repeatable. Raises AgentNotFound."""
        async with self._db.transaction() as connection:
            agent = await queries.lock_agent(connection, agent_id)
            if agent is None:
                raise not_found(agent_id)
            if agent.is_active:
                await binding.release(connection, principal, agent)
                await queries.update_agent(connection, msgspec.structs.replace(agent, is_active=False))
                await _announce(connection, principal, "agent.deleted", agent_id, {})
        self._tell(agent_id)

    async def _checked_base(self, agent_id: str, patch: AgentPatch) -> dict[str, Any] | None:
        """The config on which the patched one was checked; None for a patch that leaves it alone.

        Checked outside of the transaction that writes, because it may load a provider's library; whoever writes makes sure
        that the base has not moved.
        """
        if "config" not in patch.model_fields_set:
            return None
        base = (await self.require_agent(agent_id)).agent.config
        await check_models(parse_config(merge_patch(base, dict(patch.config))), self._models)
        return base

    async def _apply(self, connection: Connection, principal: Principal, agent: Agent, patch: AgentPatch) -> BoundAgent:
        values = _changes(agent, patch)
        if "config" in values:
            await self._require_named(connection, agent.config, values["config"])
        fields = set(values) | await binding.rebind(connection, agent, patch)
        if "template" in patch.model_fields_set and await binding.edit_template(connection, principal, agent, patch.template):
            fields.add("template")
        if fields:
            await queries.update_agent(connection, msgspec.structs.replace(agent, **values))
            await _announce(connection, principal, "agent.updated", agent.id, {"fields": sorted(fields)})
        return await _require(connection, agent.id)

    async def _require_named(self, connection: Connection, before: dict[str, Any], after: dict[str, Any]) -> None:
        """What the config names anew is there; what it named before may be gone without being in the way of another change."""
        if (skills := after["skills"]) != before.get("skills"):
            await require_skills(connection, skills)
        if (tools := after["tools"]) != before.get("tools"):
            await require_tools(connection, self._sources, tools, "/config/tools")

    def _tell(self, agent_id: str) -> None:
        # The agent's own prompt has its id; telling of one that did not change costs a look-up.
        self._changed(agent_id)
        self._prompt_changed(agent_id)


def not_found(agent_id: str) -> AgentNotFound:
    """The problem for an id that is unknown or deleted."""
    return AgentNotFound(f"There is no active agent {agent_id}.", hint="GET /v2/agents lists them.")


def _changes(agent: Agent, patch: AgentPatch) -> dict[str, Any]:
    """The columns that the patch changes."""
    sent = patch.model_fields_set & {"name", "description", "tags", "prompt_service_id"}
    values: dict[str, Any] = {name: getattr(patch, name) for name in sent}
    if "config" in patch.model_fields_set:
        values["config"] = parse_config(merge_patch(agent.config, dict(patch.config))).stored()
    return {name: value for name, value in values.items() if value != getattr(agent, name)}


async def _insert(connection: Connection, agent_id: str, values: dict[str, Any]) -> tuple[Agent, str]:
    agent = await queries.insert_agent(connection, agent_id, **values)
    if agent is not None:
        return agent, "agent.created"
    old = await queries.lock_agent(connection, agent_id)
    if old is None or old.is_active:
        raise AgentExists(
            f"An active agent has the id {agent_id}.", hint=f"Choose another id, or change it with PATCH /v2/agents/{agent_id}."
        )
    return await queries.update_agent(connection, msgspec.structs.replace(old, **values, is_active=True)), "agent.restored"


def _columns(agent_id: str, body: AgentCreate) -> dict[str, Any]:
    return {
        "name": body.name,
        "description": body.description,
        "version": body.version,
        "prompt_service_id": body.prompt_service_id or agent_id,
        "tags": body.tags,
        "config": body.config.stored(),
    }


async def _require(connection: Connection, agent_id: str) -> BoundAgent:
    bound = await queries.find_agent(connection, agent_id)
    if bound is None:
        raise not_found(agent_id)
    return bound


async def _lock_active(connection: Connection, agent_id: str) -> Agent:
    agent = await queries.lock_agent(connection, agent_id)
    if agent is None or not agent.is_active:
        raise not_found(agent_id)
    return agent


async def _announce(connection: Connection, principal: Principal, action: str, agent_id: str, detail: dict[str, Any]) -> None:
    await record(connection, principal, action, "agent", agent_id, detail)
    await notify(connection, TOPIC, agent_id)
