"""The wire of knowledge."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BeforeValidator, Field

from pointsman.kit import json_text
from pointsman.kit.db import Record
from pointsman.kit.ids import ChosenId
from pointsman.knowledge.finding import Mode
from pointsman.knowledge.tenants import OWN
from pointsman.web.wire import NOT_BLANK, Body, Moment, Read

FileType = Literal["company", "project"]
Status = Literal["pending", "processing", "active", "failed", "deleted"]
KnowledgeStatus = Literal["indexing", "indexed", "failed", "outdated"]
MOST_FOUND = 50


class TenantRead(Read):
    """A tenant that has files, and how many of them failed or are outdated; `tenant_id` is `-` for the operator's own."""

    tenant_id: str
    files: int
    failed: int
    outdated: int

    @classmethod
    def of(cls, row: Record) -> TenantRead:
        """From a row."""
        return cls(tenant_id=row["tenant_id"] or OWN, files=row["files"], failed=row["failed"], outdated=row["outdated"])


class Progress(Read):
    """How far a file is: `queued`, `reading`, `embedding`, `indexed`, `failed` or `deleted`, and how often it was tried."""

    step: str
    attempts: int
    revision: int


class FileRead(Read):
    """A file, and how it is indexed; `tenant_id` is `-` for the operator's own tenant."""

    id: uuid.UUID
    tenant_id: str
    collection_id: str | None
    file_id: uuid.UUID
    original_filename: str
    file_type: FileType
    content_type: str | None
    gcs_path: str | None
    status: Status
    knowledge_status: KnowledgeStatus | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    size: int
    sha256: str
    chunks: int
    indexed_at: Moment | None
    progress: Progress
    failure: dict[str, Any] | None

    @classmethod
    def of(cls, row: Record) -> FileRead:
        """From a row."""
        made = {"tenant_id", "metadata", "progress", "failure"}
        values: dict[str, Any] = {name: row[name] for name in cls.model_fields if name not in made}
        return cls(
            **values,
            tenant_id=row["tenant_id"] or OWN,
            metadata=json_text.decode(row["metadata"]),
            progress=Progress(step=row["step"], attempts=row["attempts"], revision=row["revision"]),
            failure=json_text.decode(row["failure"]) if row["failure"] else None,
        )


def _as_given(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("Say what to look for.")
    return value


class SearchBody(Body):
    """What to look for, and where."""

    query: Annotated[str, BeforeValidator(_as_given)] = Field(min_length=1, max_length=2000, json_schema_extra=NOT_BLANK)
    collection_ids: list[ChosenId] | None = Field(default=None, max_length=100, description="Unset: all of the tenant's.")
    top_k: int = Field(default=8, strict=True, ge=1, le=MOST_FOUND, description="Most passages.")
    mode: Mode = Field(default="hybrid", description="`hybrid` is words and vectors, and without an embedder words.")
    filter: dict[str, Any] | None = Field(default=None, description="What a file's metadata must hold.")
    file_type: FileType | None = None
    rerank: bool = Field(default=False, strict=True, description="Have the operator's model order what was found; costs a model call.")


class Passage(Read):
    """A passage that was found, with where it stands."""

    file_id: uuid.UUID
    original_filename: str
    collection_id: str | None
    ordinal: int
    page: int | None
    heading: str | None
    content: str
    score: float
    metadata: dict[str, Any]

    @classmethod
    def of(cls, row: Record) -> Passage:
        """From a row."""
        values: dict[str, Any] = {name: row[name] for name in cls.model_fields}
        return cls(**values | {"metadata": json_text.decode(row["metadata"])})


class Found(Read):
    """Passages, best first; `mode` is what was searched by, and `notice` why that is less than was asked for."""

    items: list[Passage]
    mode: Mode
    reranked: bool
    notice: str | None


class ReindexBody(Body):
    """Which files are to be indexed anew."""

    which: Literal["outdated", "failed", "all"] = Field(
        default="outdated", description="`outdated`: of another embedder than the configured one, or of former content."
    )
    collection_id: ChosenId | None = Field(default=None, description="Only those of this collection.")
    after: uuid.UUID | None = Field(default=None, description="`next` of the answer before.")


class Reindexing(Read):
    """How many files are indexed anew; where `next` is not null there may be others, for which to ask again with it as `after`."""

    files: int
    next: uuid.UUID | None


class UriUpload(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A file that is fetched from an address."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    file_type: FileType = "company"
    metadata: dict[str, Any] = {}
    file_id: str | None = None
    filename: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None


class UriUploadBody(Body):
    """The same, which explains what is wrong."""

    uri: str = Field(min_length=1, max_length=2000)
    file_type: FileType = "company"
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    file_id: str | None = None
    filename: str | None = Field(default=None, min_length=1, max_length=500)
