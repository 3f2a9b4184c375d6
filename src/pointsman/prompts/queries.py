"""Every statement on the tables of prompts; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.prompts.rows import Prompt, PromptLabel, PromptVersion

_PROMPT = "id, name, template, description, tags, tools, version, created_at, updated_at, is_active"
_VERSION = "prompt_id, version, name, template, description, tags, tools, created_at, created_by"
_LABEL = "prompt_id, label, version, updated_at"

_INSERT = f"""
INSERT INTO prompts.prompts (id, name, template, description, tags, tools) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING {_PROMPT}
"""
_UPDATE = f"""
UPDATE prompts.prompts
   SET name = $2, template = $3, description = $4, tags = $5, tools = $6, version = $7, is_active = $8, updated_at = clock_timestamp()
 WHERE id = $1
RETURNING {_PROMPT}
"""
_FIND = f"SELECT {_PROMPT} FROM prompts.prompts WHERE id = $1 AND is_active"
_LOCK = f"SELECT {_PROMPT} FROM prompts.prompts WHERE id = $1 FOR UPDATE"
# Containment in the whole of `tags`; text is sought as it stands, so that no character of it has a meaning.
_LIST = f"""
SELECT {_PROMPT} FROM prompts.prompts
 WHERE (is_active OR $1::boolean)
   AND ($2::jsonb IS NULL OR tags::jsonb @> $2)
   AND ($3::text IS NULL OR strpos(lower(id), lower($3)) > 0 OR strpos(lower(name), lower($3)) > 0
        OR strpos(lower(description), lower($3)) > 0)
   AND id > $4
 ORDER BY id LIMIT $5
"""
_INSERT_VERSION = """
INSERT INTO prompts.prompt_versions (prompt_id, version, name, template, description, tags, tools, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_FIND_VERSION = f"SELECT {_VERSION} FROM prompts.prompt_versions WHERE prompt_id = $1 AND version = $2"
_LIST_VERSIONS = f"""
SELECT {_VERSION} FROM prompts.prompt_versions
 WHERE prompt_id = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_FIND_LABEL = f"SELECT {_LABEL} FROM prompts.prompt_labels WHERE prompt_id = $1 AND label = $2"
_LIST_LABELS = f"SELECT {_LABEL} FROM prompts.prompt_labels WHERE prompt_id = $1 AND label > $2 ORDER BY label LIMIT $3"
_PUT_LABEL = f"""
INSERT INTO prompts.prompt_labels (prompt_id, label, version) VALUES ($1, $2, $3)
ON CONFLICT (prompt_id, label) DO UPDATE SET version = excluded.version, updated_at = clock_timestamp()
RETURNING {_LABEL}
"""
_DELETE_LABEL = "DELETE FROM prompts.prompt_labels WHERE prompt_id = $1 AND label = $2 RETURNING version"


async def insert_prompt(
    connection: Connection,
    prompt_id: str,
    *,
    name: str,
    template: str,
    description: str | None,
    tags: Sequence[str],
    tools: Sequence[dict[str, Any]],
) -> Prompt | None:
    """The new row, or None where the id is taken, also by a deleted prompt."""
    row = await connection.fetchrow(_INSERT, prompt_id, name, template, description, json_text.encode(tags), json_text.encode(tools))
    return Prompt.of(row) if row else None


async def update_prompt(connection: Connection, prompt: Prompt) -> Prompt:
    """The row as it is stored now; the caller has locked it. `updated_at` moves."""
    row = await connection.fetchrow(_UPDATE, prompt.id, *_content(prompt), prompt.version, prompt.is_active)
    assert row is not None
    return Prompt.of(row)


async def find_prompt(connection: Connection, prompt_id: str) -> Prompt | None:
    """An active prompt."""
    row = await connection.fetchrow(_FIND, prompt_id)
    return Prompt.of(row) if row else None


async def lock_prompt(connection: Connection, prompt_id: str) -> Prompt | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, prompt_id)
    return Prompt.of(row) if row else None


async def hold_prompt(connection: Connection, prompt_id: str) -> Prompt | None:
    """An active prompt, which nobody deletes until the transaction ends; others may hold it too."""
    row = await connection.fetchrow(_FIND + " FOR SHARE", prompt_id)
    return Prompt.of(row) if row else None


async def list_prompts(
    connection: Connection, *, tags: Sequence[str], q: str | None, include_inactive: bool, after: str | None, limit: int
) -> list[Prompt]:
    """By id; with all of `tags`, with `q` in the id, name or description in any case."""
    wanted = json_text.encode(tags) if tags else None
    rows = await connection.fetch(_LIST, include_inactive, wanted, q or None, after or "", limit)
    return [Prompt.of(row) for row in rows]


async def insert_version(connection: Connection, prompt: Prompt, created_by: str) -> None:
    """Keep what the prompt is at its version."""
    await connection.execute(_INSERT_VERSION, prompt.id, prompt.version, *_content(prompt), created_by)


async def find_version(connection: Connection, prompt_id: str, version: int) -> PromptVersion | None:
    """One version."""
    row = await connection.fetchrow(_FIND_VERSION, prompt_id, version)
    return PromptVersion.of(row) if row else None


async def list_versions(connection: Connection, prompt_id: str, *, before: int | None, limit: int) -> list[PromptVersion]:
    """Newest first."""
    return [PromptVersion.of(row) for row in await connection.fetch(_LIST_VERSIONS, prompt_id, before, limit)]


async def find_label(connection: Connection, prompt_id: str, label: str) -> PromptLabel | None:
    """One label."""
    row = await connection.fetchrow(_FIND_LABEL, prompt_id, label)
    return PromptLabel.of(row) if row else None


async def list_labels(connection: Connection, prompt_id: str, *, after: str | None, limit: int) -> list[PromptLabel]:
    """By name."""
    return [PromptLabel.of(row) for row in await connection.fetch(_LIST_LABELS, prompt_id, after or "", limit)]


async def put_label(connection: Connection, prompt_id: str, label: str, version: int) -> PromptLabel:
    """The label, made or moved; the version must exist."""
    row = await connection.fetchrow(_PUT_LABEL, prompt_id, label, version)
    assert row is not None
    return PromptLabel.of(row)


async def delete_label(connection: Connection, prompt_id: str, label: str) -> int | None:
    """The version it pointed at, None where there was no such label."""
    return await connection.fetchval(_DELETE_LABEL, prompt_id, label)


def _content(prompt: Prompt) -> tuple[str, str, str | None, str, str]:
    return prompt.name, prompt.template, prompt.description, json_text.encode(prompt.tags), json_text.encode(prompt.tools)
