"""Workers on the wire."""

from __future__ import annotations

import uuid
from typing import Literal

from pydantic import Field

from pointsman.kit.db import Record
from pointsman.web.wire import Moment, Read


class WorkerRead(Read):
    """A process that does jobs."""

    id: str
    host: str
    pid: int
    version: str
    worker_pool: str
    slots: int = Field(description="Most jobs that it has in hand at once.")
    isolation: str | None = Field(description="What keeps the jobs of `local` targets apart on its host; null until it has looked.")
    status: Literal["working", "draining", "silent"] = Field(description="`silent`: it has said nothing for 15 s.")
    jobs: list[uuid.UUID] = Field(description="In hand now; of other tenants' jobs nothing is told.")
    started_at: Moment
    seen_at: Moment

    @classmethod
    def of(cls, row: Record) -> WorkerRead:
        """From a row of the list."""
        status = "silent" if row["is_silent"] else "draining" if row["draining"] else "working"
        return cls(status=status, **{name: row[name] for name in cls.model_fields if name != "status"})
