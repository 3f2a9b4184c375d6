"""Every statement on the tables of agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from pointsman.agents.models import Agent, AgentPrompt
from pointsman.agents.schemas import BoundAgent

_FRESH: dict[str, Any] = {"populate_existing": True}
_BOUND = select(Agent, AgentPrompt).outerjoin(AgentPrompt, AgentPrompt.agent_id == Agent.id)

# One round trip from an id to everything a run needs. An unpinned agent runs on the prompt's own row, which is its newest version.
RESOLVE = """
SELECT a.name, a.config, a.prompt_service_id, b.pinned_version, b.pinned_label, p.id IS NOT NULL AS has_prompt,
       CASE WHEN b.pinned_version IS NULL AND b.pinned_label IS NULL THEN p.version ELSE v.version END AS version,
       CASE WHEN b.pinned_version IS NULL AND b.pinned_label IS NULL THEN p.template ELSE v.template END AS template,
       CASE WHEN b.pinned_version IS NULL AND b.pinned_label IS NULL THEN p.tools ELSE v.tools END AS tools
FROM agent_info a
LEFT JOIN agent_prompts b ON b.agent_id = a.id
LEFT JOIN prompts.prompts p ON p.id = a.prompt_service_id AND p.is_active
LEFT JOIN prompts.prompt_labels l ON l.prompt_id = p.id AND l.label = b.pinned_label
LEFT JOIN prompts.prompt_versions v ON v.prompt_id = p.id AND v.version = coalesce(l.version, b.pinned_version)
WHERE a.id = $1 AND a.is_active
"""


async def insert_agent(session: AsyncSession, agent_id: str, values: dict[str, Any]) -> Agent | None:
    """The new row, or None where the id is taken, also by a deleted agent."""
    return await session.scalar(insert(Agent).values(id=agent_id, **values).on_conflict_do_nothing().returning(Agent))


async def update_agent(session: AsyncSession, agent_id: str, values: dict[str, Any]) -> Agent:
    """The changed row; `updated_at` moves."""
    statement = update(Agent).where(Agent.id == agent_id).values(**values, updated_at=func.clock_timestamp()).returning(Agent)
    return (await session.scalars(statement, execution_options=_FRESH)).one()


async def lock_agent(session: AsyncSession, agent_id: str) -> Agent | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    return await session.scalar(select(Agent).where(Agent.id == agent_id).with_for_update(), execution_options=_FRESH)


async def find_agent(session: AsyncSession, agent_id: str) -> BoundAgent | None:
    """An active agent."""
    row = (await session.execute(_BOUND.where(Agent.id == agent_id, Agent.is_active))).one_or_none()
    return BoundAgent(*row) if row else None


async def list_agents(
    session: AsyncSession, *, tags: Sequence[str], q: str | None, include_inactive: bool, after: str | None, limit: int
) -> Sequence[BoundAgent]:
    """By id; with all of `tags`, with `q` in the id, name or description in any case."""
    statement = _BOUND.order_by(Agent.id).limit(limit)
    if not include_inactive:
        statement = statement.where(Agent.is_active)
    if tags:
        statement = statement.where(cast(cast(Agent.tags, Text), JSONB).contains(list(tags)))
    if q:
        found = [column.icontains(q, autoescape=True) for column in (Agent.id, Agent.name, Agent.description)]
        statement = statement.where(found[0] | found[1] | found[2])
    if after is not None:
        statement = statement.where(Agent.id > after)
    return [BoundAgent(*row) for row in (await session.execute(statement)).all()]


async def find_binding(session: AsyncSession, agent_id: str) -> AgentPrompt | None:
    """How the agent is bound to its prompt."""
    return await session.get(AgentPrompt, agent_id)


async def put_binding(session: AsyncSession, agent_id: str, *, version: int | None, label: str | None, made: bool) -> AgentPrompt:
    """Pin or unpin. That the prompt of the agent's id was made with it is never forgotten."""
    statement = insert(AgentPrompt).values(agent_id=agent_id, pinned_version=version, pinned_label=label, made_prompt=made)
    changed = statement.on_conflict_do_update(
        index_elements=[AgentPrompt.agent_id],
        set_={"pinned_version": version, "pinned_label": label, "made_prompt": AgentPrompt.made_prompt | made},
    )
    return (await session.scalars(changed.returning(AgentPrompt), execution_options=_FRESH)).one()


async def others_use_prompt(session: AsyncSession, prompt_id: str, agent_id: str) -> bool:
    """Whether an active agent other than this one is bound to the prompt."""
    using = exists().where(Agent.prompt_service_id == prompt_id, Agent.id != agent_id, Agent.is_active)
    return bool(await session.scalar(select(using)))
