"""Every statement on the tables of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import cast, func, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from pointsman.prompts.models import Prompt, PromptLabel, PromptVersion

_FRESH: dict[str, Any] = {"populate_existing": True}


async def insert_prompt(session: AsyncSession, prompt_id: str, content: dict[str, Any]) -> Prompt | None:
    """The new row, or None where the id is taken, also by a deleted prompt."""
    statement = insert(Prompt).values(id=prompt_id, **content).on_conflict_do_nothing().returning(Prompt)
    return await session.scalar(statement)


async def update_prompt(session: AsyncSession, prompt_id: str, **values: Any) -> Prompt:
    """The changed row; `updated_at` moves."""
    statement = update(Prompt).where(Prompt.id == prompt_id).values(**values, updated_at=func.clock_timestamp()).returning(Prompt)
    return (await session.scalars(statement, execution_options=_FRESH)).one()


async def find_prompt(session: AsyncSession, prompt_id: str) -> Prompt | None:
    """An active prompt."""
    return await session.scalar(select(Prompt).where(Prompt.id == prompt_id, Prompt.is_active))


async def lock_prompt(session: AsyncSession, prompt_id: str) -> Prompt | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    return await session.scalar(select(Prompt).where(Prompt.id == prompt_id).with_for_update(), execution_options=_FRESH)


async def hold_prompt(session: AsyncSession, prompt_id: str) -> Prompt | None:
    """An active prompt, which nobody deletes until the transaction ends; others may hold it too."""
    statement = select(Prompt).where(Prompt.id == prompt_id, Prompt.is_active).with_for_update(read=True)
    return await session.scalar(statement, execution_options=_FRESH)


async def list_prompts(
    session: AsyncSession, *, tags: Sequence[str], q: str | None, include_inactive: bool, after: str | None, limit: int
) -> Sequence[Prompt]:
    """By id; with all of `tags`, with `q` in the id, name or description in any case."""
    statement = select(Prompt).order_by(Prompt.id).limit(limit)
    if not include_inactive:
        statement = statement.where(Prompt.is_active)
    if tags:
        statement = statement.where(cast(cast(Prompt.tags, Prompt.description.type), JSONB).contains(list(tags)))
    if q:
        statement = statement.where(
            Prompt.id.icontains(q, autoescape=True)
            | Prompt.name.icontains(q, autoescape=True)
            | Prompt.description.icontains(q, autoescape=True)
        )
    if after is not None:
        statement = statement.where(Prompt.id > after)
    return (await session.scalars(statement)).all()


async def insert_version(session: AsyncSession, prompt_id: str, version: int, content: dict[str, Any], created_by: str) -> None:
    """Keep what the prompt is at this version."""
    await session.execute(insert(PromptVersion).values(prompt_id=prompt_id, version=version, created_by=created_by, **content))


async def find_version(session: AsyncSession, prompt_id: str, version: int) -> PromptVersion | None:
    """One version."""
    return await session.get(PromptVersion, (prompt_id, version))


async def list_versions(session: AsyncSession, prompt_id: str, *, before: int | None, limit: int) -> Sequence[PromptVersion]:
    """Newest first."""
    statement = select(PromptVersion).where(PromptVersion.prompt_id == prompt_id).order_by(PromptVersion.version.desc()).limit(limit)
    if before is not None:
        statement = statement.where(PromptVersion.version < before)
    return (await session.scalars(statement)).all()


async def find_label(session: AsyncSession, prompt_id: str, label: str) -> PromptLabel | None:
    """One label."""
    return await session.get(PromptLabel, (prompt_id, label))


async def list_labels(session: AsyncSession, prompt_id: str, *, after: str | None, limit: int) -> Sequence[PromptLabel]:
    """By name."""
    statement = select(PromptLabel).where(PromptLabel.prompt_id == prompt_id).order_by(PromptLabel.label).limit(limit)
    if after is not None:
        statement = statement.where(PromptLabel.label > after)
    return (await session.scalars(statement)).all()


async def put_label(session: AsyncSession, prompt_id: str, label: str, version: int) -> PromptLabel:
    """The label, made or moved; the version must exist."""
    statement = insert(PromptLabel).values(prompt_id=prompt_id, label=label, version=version)
    moved = statement.on_conflict_do_update(
        index_elements=[PromptLabel.prompt_id, PromptLabel.label], set_={"version": version, "updated_at": func.clock_timestamp()}
    )
    return (await session.scalars(moved.returning(PromptLabel), execution_options=_FRESH)).one()


async def delete_label(session: AsyncSession, prompt_id: str, label: str) -> int | None:
    """The version it pointed at, None where there was no such label."""
    statement = sql_delete(PromptLabel).where(PromptLabel.prompt_id == prompt_id, PromptLabel.label == label)
    return await session.scalar(statement.returning(PromptLabel.version))
