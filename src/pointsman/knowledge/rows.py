"""What services of knowledge carry about."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Given:
    """What is said about a file when it is uploaded; `metadata` is JSON text. `file_id` is the caller's, if it has one."""

    filename: str
    file_type: str = "company"
    content_type: str | None = None
    metadata: str = "{}"
    collection_id: str | None = None
    file_id: uuid.UUID | None = None

    def columns(self) -> tuple[Any, ...]:
        """In the order of the statements."""
        return (self.collection_id, self.filename, self.file_type, self.content_type, self.metadata)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file that a worker has in hand: who it is of, which content, and by which epoch."""

    tenant_id: str
    entry_id: uuid.UUID
    epoch: int
    wanted: int
    attempts: int
    gcs_path: str
    original_filename: str
    content_type: str | None
    key_id: int | None

    @property
    def fence(self) -> tuple[str, uuid.UUID, int, int]:
        """What a write of whoever was presumed dead, or has old content, does not meet."""
        return (self.tenant_id, self.entry_id, self.epoch, self.wanted)
