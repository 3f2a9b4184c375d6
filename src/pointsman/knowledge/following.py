"""A file's way through indexing as a stream of events: what is noted in its row, told as it changes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator

from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.knowledge import queries
from pointsman.knowledge.schemas import FileRead
from pointsman.knowledge.tenants import within_tenant
from pointsman.runs.replay import Replay
from pointsman.web.streams import frame

_SOONEST, _LATEST = 0.1, 1.0
_ENDS = frozenset({"indexed", "failed", "deleted"})


async def follow(db: Database, replay: Replay, tenant: str, file_id: uuid.UUID, after: int) -> AsyncGenerator[bytes]:
    """A frame for each state above `after` that is seen, until the file is indexed, failed or deleted.

    Ids are those of the row's changes; what changes twice between two looks is told once. Readers are counted with those of `replay`.
    """
    pause = _SOONEST
    with replay.counted():
        while True:
            file = await _read(db, tenant, file_id)
            if file is None:
                return
            step, revision = file.progress.step, file.progress.revision
            if revision > after:
                after, pause = revision, _SOONEST
                yield frame(revision, step if step in _ENDS else "progress", file.model_dump_json().encode())
            if step in _ENDS:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LATEST)


async def _read(db: Database, tenant: str, file_id: uuid.UUID) -> FileRead | None:
    """A database that is away for a moment only delays what is told."""
    while True:
        try:
            async with within_tenant(db, tenant) as connection:
                row = await queries.find_entry(connection, tenant, file_id)
        except Unavailable:
            await asyncio.sleep(_LATEST)
        else:
            return None if row is None else FileRead.of(row)
