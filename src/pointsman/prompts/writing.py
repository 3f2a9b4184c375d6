"""Changes to prompts inside the caller's transaction: each raises the version, keeps it, is audited and announced."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from pointsman.audit.service import record
from pointsman.kit.db import Connection
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.prompts import queries
from pointsman.prompts.errors import PromptExists, PromptNotFound, PromptVersionNotFound
from pointsman.prompts.rows import Prompt, PromptLabel, PromptVersion

TOPIC = "prompts"


@dataclass(frozen=True, slots=True)
class Content:
    """What a version of a prompt consists of."""

    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]

    @classmethod
    def of(cls, row: Prompt | PromptVersion) -> Content:
        """What a row holds."""
        return cls(row.name, row.template, row.description, row.tags, row.tools)

    def fields(self) -> dict[str, Any]:
        """By column name."""
        return asdict(self)


async def create_prompt(connection: Connection, principal: Principal, prompt_id: str, content: Content) -> Prompt:
    """The new prompt at version 1, or a deleted one brought back as its next version. Raises PromptExists."""
    prompt = await queries.insert_prompt(connection, prompt_id, **content.fields())
    if prompt is not None:
        return await _keep(connection, principal, prompt, "prompt.created")
    old = await lock_prompt(connection, prompt_id)
    if old.is_active:
        raise PromptExists(
            f"An active prompt has the id {prompt_id}.", hint=f"Choose another id, or change it with PATCH /v2/prompts/{prompt_id}."
        )
    prompt = await queries.update_prompt(connection, _next(old, content))
    return await _keep(connection, principal, prompt, "prompt.restored")


async def edit_prompt(
    connection: Connection, principal: Principal, prompt: Prompt, content: Content, action: str = "prompt.updated"
) -> Prompt:
    """The prompt at its next version, or as it is where nothing changes. The row is locked by the caller."""
    if Content.of(prompt) == content:
        return prompt
    prompt = await queries.update_prompt(connection, _next(prompt, content))
    return await _keep(connection, principal, prompt, action)


async def delete_prompt(connection: Connection, principal: Principal, prompt: Prompt) -> None:
    """Deleted softly; versions and labels stay. The row is locked by the caller."""
    if prompt.is_active:
        await queries.update_prompt(connection, msgspec.structs.replace(prompt, is_active=False))
        await announce(connection, principal, "prompt.deleted", prompt.id, {})


async def lock_prompt(connection: Connection, prompt_id: str) -> Prompt:
    """The row, active or not, locked until the transaction ends. Raises PromptNotFound."""
    prompt = await queries.lock_prompt(connection, prompt_id)
    if prompt is None:
        raise not_found(prompt_id)
    return prompt


async def lock_active_prompt(connection: Connection, prompt_id: str) -> Prompt:
    """An active prompt, locked until the transaction ends. Raises PromptNotFound."""
    prompt = await lock_prompt(connection, prompt_id)
    if not prompt.is_active:
        raise not_found(prompt_id)
    return prompt


async def require_version(connection: Connection, prompt_id: str, version: int) -> PromptVersion:
    """One version. Raises PromptVersionNotFound."""
    found = await queries.find_version(connection, prompt_id, version)
    if found is None:
        raise PromptVersionNotFound(f"The prompt {prompt_id} has no version {version}.")
    return found


async def put_label(connection: Connection, principal: Principal, prompt_id: str, label: str, version: int) -> PromptLabel:
    """The label, made or moved; unchanged where it points there already. The prompt is locked by the caller."""
    old = await queries.find_label(connection, prompt_id, label)
    if old is not None and old.version == version:
        return old
    detail = {"label": label, "from": None if old is None else old.version, "to": version}
    row = await queries.put_label(connection, prompt_id, label, version)
    await announce(connection, principal, "prompt.label_set", prompt_id, detail)
    return row


async def delete_label(connection: Connection, principal: Principal, prompt_id: str, label: str) -> None:
    """Gone, if it was there. The prompt is locked by the caller."""
    version = await queries.delete_label(connection, prompt_id, label)
    if version is not None:
        await announce(connection, principal, "prompt.label_deleted", prompt_id, {"label": label, "from": version})


async def announce(connection: Connection, principal: Principal, action: str, prompt_id: str, detail: dict[str, Any]) -> None:
    """Into the log of changes, and to every process's caches at commit."""
    await record(connection, principal, action, "prompt", prompt_id, detail)
    await notify(connection, TOPIC, prompt_id)


def not_found(prompt_id: str) -> PromptNotFound:
    """The problem for an id that is unknown or deleted."""
    return PromptNotFound(
        f"There is no active prompt {prompt_id}.", hint="GET /v2/prompts lists them; creating a deleted one again restores its versions."
    )


def _next(prompt: Prompt, content: Content) -> Prompt:
    return msgspec.structs.replace(prompt, **content.fields(), version=prompt.version + 1, is_active=True)


async def _keep(connection: Connection, principal: Principal, prompt: Prompt, action: str) -> Prompt:
    await queries.insert_version(connection, prompt, principal.key_name)
    await announce(connection, principal, action, prompt.id, {"version": prompt.version})
    return prompt
