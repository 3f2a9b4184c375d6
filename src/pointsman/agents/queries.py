"""Every statement on the tables of agents; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pointsman.agents.rows import Agent, AgentPrompt, BoundAgent
from pointsman.kit import json_text
from pointsman.kit.db import Connection

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

_AGENT = "id, name, description, version, prompt_service_id, tags, config, created_at, updated_at, is_active"
_BINDING = "agent_id, pinned_version, pinned_label, made_prompt"

_INSERT = f"""
INSERT INTO agent_info (id, name, description, version, prompt_service_id, tags, config) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING {_AGENT}
"""
_UPDATE = f"""
UPDATE agent_info
   SET name = $2, description = $3, version = $4, prompt_service_id = $5, tags = $6, config = $7, is_active = $8,
       updated_at = clock_timestamp()
 WHERE id = $1
RETURNING {_AGENT}
"""
_LOCK = f"SELECT {_AGENT} FROM agent_info WHERE id = $1 FOR UPDATE"
_BOUND = f"SELECT {_AGENT}, {_BINDING} FROM agent_info LEFT JOIN agent_prompts ON agent_id = id"
_FIND = f"{_BOUND} WHERE id = $1 AND is_active"
_READ = f"{_BOUND} WHERE id = ANY($1) AND is_active"
# Containment in the whole of `tags`; text is sought as it stands, so that no character of it has a meaning.
_LIST = f"""
{_BOUND}
 WHERE (is_active OR $1::boolean)
   AND ($2::jsonb IS NULL OR tags::jsonb @> $2)
   AND ($3::text IS NULL OR strpos(lower(id), lower($3)) > 0 OR strpos(lower(name), lower($3)) > 0
        OR strpos(lower(description), lower($3)) > 0)
   AND id > $4
 ORDER BY id LIMIT $5
"""
_PROVIDERS = """
SELECT DISTINCT split_part(model, ':', 1) AS provider
  FROM agent_info,
       LATERAL (SELECT config::jsonb ->> 'model' UNION ALL
                SELECT jsonb_array_elements_text(coalesce(config::jsonb -> 'model_fallbacks', '[]'))) AS asked (model)
 WHERE is_active
"""
_FIND_BINDING = f"SELECT {_BINDING} FROM agent_prompts WHERE agent_id = $1"
_PUT_BINDING = f"""
INSERT INTO agent_prompts AS old (agent_id, pinned_version, pinned_label, made_prompt) VALUES ($1, $2, $3, $4)
ON CONFLICT (agent_id) DO UPDATE
   SET pinned_version = excluded.pinned_version, pinned_label = excluded.pinned_label, made_prompt = old.made_prompt OR excluded.made_prompt
RETURNING {_BINDING}
"""
# In one order, so that two who hold several cannot wait for each other.
_HOLD = "SELECT id FROM agent_info WHERE id = ANY($1::varchar[]) AND is_active ORDER BY id FOR SHARE"
_OTHERS_USE_PROMPT = "SELECT EXISTS (SELECT FROM agent_info WHERE prompt_service_id = $1 AND id <> $2 AND is_active)"


async def insert_agent(
    connection: Connection,
    agent_id: str,
    *,
    name: str,
    description: str | None,
    version: str,
    prompt_service_id: str,
    tags: Sequence[str],
    config: dict[str, Any],
) -> Agent | None:
    """The new row, or None where the id is taken, also by a deleted agent."""
    row = await connection.fetchrow(
        _INSERT, agent_id, name, description, version, prompt_service_id, json_text.encode(tags), json_text.encode(config)
    )
    return Agent.of(row) if row else None


async def update_agent(connection: Connection, agent: Agent) -> Agent:
    """The row as it is stored now; the caller has locked it. `updated_at` moves."""
    row = await connection.fetchrow(
        _UPDATE,
        agent.id,
        agent.name,
        agent.description,
        agent.version,
        agent.prompt_service_id,
        json_text.encode(agent.tags),
        json_text.encode(agent.config),
        agent.is_active,
    )
    assert row is not None
    return Agent.of(row)


async def lock_agent(connection: Connection, agent_id: str) -> Agent | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, agent_id)
    return Agent.of(row) if row else None


async def hold_agents(connection: Connection, agent_ids: Sequence[str]) -> set[str]:
    """Those of them that are active, which nobody deletes until the transaction ends; others may hold them too."""
    return {row["id"] for row in await connection.fetch(_HOLD, agent_ids)}


async def find_agent(connection: Connection, agent_id: str) -> BoundAgent | None:
    """An active agent."""
    row = await connection.fetchrow(_FIND, agent_id)
    return BoundAgent.of(row) if row else None


async def read_agents(connection: Connection, agent_ids: Sequence[str]) -> dict[str, BoundAgent]:
    """Those of them that are active, by id."""
    return {row["id"]: BoundAgent.of(row) for row in await connection.fetch(_READ, agent_ids)}


async def list_agents(
    connection: Connection, *, tags: Sequence[str], q: str | None, include_inactive: bool, after: str | None, limit: int
) -> list[BoundAgent]:
    """By id; with all of `tags`, with `q` in the id, name or description in any case."""
    wanted = json_text.encode(tags) if tags else None
    rows = await connection.fetch(_LIST, include_inactive, wanted, q or None, after or "", limit)
    return [BoundAgent.of(row) for row in rows]


async def list_providers(connection: Connection) -> list[str]:
    """The providers of all models that active agents ask first or fall back to."""
    return [row["provider"] for row in await connection.fetch(_PROVIDERS)]


async def find_binding(connection: Connection, agent_id: str) -> AgentPrompt | None:
    """How the agent is bound to its prompt."""
    row = await connection.fetchrow(_FIND_BINDING, agent_id)
    return AgentPrompt.of(row) if row else None


async def put_binding(connection: Connection, agent_id: str, *, version: int | None, label: str | None, made: bool) -> AgentPrompt:
    """Pin or unpin. That the prompt of the agent's id was made with it is never forgotten."""
    row = await connection.fetchrow(_PUT_BINDING, agent_id, version, label, made)
    assert row is not None
    return AgentPrompt.of(row)


async def others_use_prompt(connection: Connection, prompt_id: str, agent_id: str) -> bool:
    """Whether an active agent other than this one is bound to the prompt."""
    return await connection.fetchval(_OTHERS_USE_PROMPT, prompt_id, agent_id)
