"""The verbs of prompts, each one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType

from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.prompts import queries, writing
from pointsman.prompts.diffing import unified_diff
from pointsman.prompts.errors import PromptLabelNotFound
from pointsman.prompts.rows import Prompt, PromptLabel, PromptVersion
from pointsman.prompts.schemas import (
    Change,
    LabelRead,
    PromptCreate,
    PromptDiff,
    PromptPatch,
    PromptRead,
    PromptRender,
    PromptText,
    PromptVersionRead,
    label_fault,
)
from pointsman.prompts.template import render
from pointsman.prompts.writing import Content
from pointsman.tools.sources import ToolSource, require_tools
from pointsman.tools.specs import stored_tools
from pointsman.web.paging import Int4, Page, decode_cursor, page_of

Changed = Callable[[str], None]
_NO_SOURCES: Mapping[str, ToolSource] = MappingProxyType({})


def _nobody(prompt_id: str) -> None:
    del prompt_id


class PromptService:
    """Versioned prompts.

    `changed` is called with the id after each committed change, for caches in this process. `sources` know the tools that are not built
    in, by type.
    """

    def __init__(self, db: Database, *, sources: Mapping[str, ToolSource] = _NO_SOURCES, changed: Changed = _nobody) -> None:
        self._db = db
        self._sources = sources
        self._changed = changed

    async def create_prompt(self, principal: Principal, body: PromptCreate) -> Prompt:
        """The new prompt; a deleted one comes back as its next version. Raises PromptExists, and the Problem of a tool's source."""
        content = Content(body.name, body.template, body.description, body.tags, stored_tools(body.tools))
        async with self._db.transaction() as connection:
            await require_tools(connection, self._sources, content.tools, "/tools")
            prompt = await writing.create_prompt(connection, principal, body.id, content)
        self._changed(prompt.id)
        return prompt

    async def require_prompt(self, prompt_id: str) -> Prompt:
        """An active prompt. Raises PromptNotFound."""
        async with self._db.connection() as connection:
            return await _require(connection, prompt_id)

    async def list_prompts(
        self, *, tags: Sequence[str] = (), q: str | None = None, include_inactive: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[PromptRead]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_prompts(
                connection, tags=tags, q=q, include_inactive=include_inactive, after=key[0] if key else None, limit=limit + 1
            )
        return page_of(rows, limit, PromptRead.model_validate, lambda row: (row.id,))

    async def update_prompt(self, principal: Principal, prompt_id: str, patch: PromptPatch) -> Prompt:
        """The prompt at its next version, or as it is where nothing changes. Raises PromptNotFound, and the Problem of a tool's source."""
        async with self._db.transaction() as connection:
            prompt = await writing.lock_active_prompt(connection, prompt_id)
            content = _patched(Content.of(prompt), patch)
            if content.tools != prompt.tools:
                await require_tools(connection, self._sources, content.tools, "/tools")
            prompt = await writing.edit_prompt(connection, principal, prompt, content)
        self._changed(prompt_id)
        return prompt

    async def rollback_prompt(self, principal: Principal, prompt_id: str, version: int) -> Prompt:
        """The next version with the content of an old one. Raises PromptNotFound, PromptVersionNotFound."""
        async with self._db.transaction() as connection:
            prompt = await writing.lock_active_prompt(connection, prompt_id)
            old = await writing.require_version(connection, prompt_id, version)
            prompt = await writing.edit_prompt(connection, principal, prompt, Content.of(old), "prompt.rolled_back")
        self._changed(prompt_id)
        return prompt

    async def delete_prompt(self, principal: Principal, prompt_id: str) -> None:
        """Deleted softly, repeatable. Raises PromptNotFound for an id that never was."""
        async with self._db.transaction() as connection:
            await writing.delete_prompt(connection, principal, await writing.lock_prompt(connection, prompt_id))
        self._changed(prompt_id)

    async def list_versions(self, prompt_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[PromptVersionRead]:
        """Newest first."""
        key = decode_cursor(cursor, Int4)
        async with self._db.connection() as connection:
            await _require(connection, prompt_id)
            rows = await queries.list_versions(connection, prompt_id, before=key[0] if key else None, limit=limit + 1)
        return page_of(rows, limit, PromptVersionRead.model_validate, lambda row: (row.version,))

    async def require_version(self, prompt_id: str, version: int) -> PromptVersion:
        """One version. Raises PromptNotFound, PromptVersionNotFound."""
        async with self._db.connection() as connection:
            await _require(connection, prompt_id)
            return await writing.require_version(connection, prompt_id, version)

    async def diff_prompt(self, prompt_id: str, from_version: int | None, to_version: int | None) -> PromptDiff:
        """What differs: from the version before `to` if absent, to the newest if absent. Raises PromptVersionNotFound."""
        async with self._db.connection() as connection:
            prompt = await _require(connection, prompt_id)
            newest = prompt.version if to_version is None else to_version
            after = await writing.require_version(connection, prompt_id, newest)
            before = await writing.require_version(connection, prompt_id, max(newest - 1, 1) if from_version is None else from_version)
        return _difference(before, after)

    async def list_labels(self, prompt_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[LabelRead]:
        """By name."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            await _require(connection, prompt_id)
            rows = await queries.list_labels(connection, prompt_id, after=key[0] if key else None, limit=limit + 1)
        return page_of(rows, limit, LabelRead.model_validate, lambda row: (row.label,))

    async def require_label(self, prompt_id: str, label: str) -> PromptLabel:
        """One label. Raises PromptNotFound, PromptLabelNotFound."""
        async with self._db.connection() as connection:
            await _require(connection, prompt_id)
            return await _require_label(connection, prompt_id, label)

    async def put_label(self, principal: Principal, prompt_id: str, label: str, version: int) -> PromptLabel:
        """The label, made or moved. Raises PromptNotFound, PromptVersionNotFound, InvalidRequest."""
        fault = label_fault(label)
        if fault is not None:
            raise InvalidRequest("This cannot be a label.", errors=(FieldError("/path/label", fault),))
        async with self._db.transaction() as connection:
            await writing.lock_active_prompt(connection, prompt_id)
            await writing.require_version(connection, prompt_id, version)
            row = await writing.put_label(connection, principal, prompt_id, label, version)
        self._changed(prompt_id)
        return row

    async def delete_label(self, principal: Principal, prompt_id: str, label: str) -> None:
        """Gone; repeatable. Raises PromptNotFound."""
        async with self._db.transaction() as connection:
            await writing.lock_active_prompt(connection, prompt_id)
            await writing.delete_label(connection, principal, prompt_id, label)
        self._changed(prompt_id)

    async def render_prompt(self, prompt_id: str, body: PromptRender) -> PromptText:
        """The chosen version filled. Raises PromptVersionNotFound, PromptLabelNotFound, RenderedTooLong."""
        async with self._db.connection() as connection:
            chosen = await _choose(connection, await _require(connection, prompt_id), body)
        filled = render(chosen.template, body.variables)
        return PromptText(text=filled.text, missing=filled.missing, unused=filled.unused, version=chosen.version)


async def _require(connection: Connection, prompt_id: str) -> Prompt:
    prompt = await queries.find_prompt(connection, prompt_id)
    if prompt is None:
        raise writing.not_found(prompt_id)
    return prompt


async def _choose(connection: Connection, prompt: Prompt, body: PromptRender) -> Prompt | PromptVersion:
    if body.version is not None:
        return await writing.require_version(connection, prompt.id, body.version)
    if body.label is None:
        return prompt
    label = await _require_label(connection, prompt.id, body.label)
    return await writing.require_version(connection, prompt.id, label.version)


async def _require_label(connection: Connection, prompt_id: str, label: str) -> PromptLabel:
    found = await queries.find_label(connection, prompt_id, label)
    if found is None:
        raise PromptLabelNotFound(f"The prompt {prompt_id} has no label {label}.")
    return found


def _patched(content: Content, patch: PromptPatch) -> Content:
    sent = {name: getattr(patch, name) for name in patch.model_fields_set}
    if "tools" in sent:
        sent["tools"] = stored_tools(patch.tools)
    return replace(content, **sent)


def _difference(before: PromptVersion, after: PromptVersion) -> PromptDiff:
    old, new = asdict(Content.of(before)), asdict(Content.of(after))
    names = [f"{version.prompt_id} version {version.version}" for version in (before, after)]
    return PromptDiff(
        prompt_id=after.prompt_id,
        from_version=before.version,
        to_version=after.version,
        diff=unified_diff(before.template, after.template, *names),
        changes={name: Change(before=old[name], after=new[name]) for name in old if name != "template" and old[name] != new[name]},
    )
