"""Tables of knowledge: entries, what is remembered beside them, the chunks that are searched, and objects that nobody refers to."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, TSVECTOR
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from pointsman.kit.orm import Base, Timestamps


class KnowledgeEntry(Timestamps, Base):
    """A file that belongs to a tenant, perhaps within a collection."""

    __tablename__ = "knowledge_entries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "file_id"),
        CheckConstraint("file_type IN ('company', 'project')", name="file_type"),
        CheckConstraint("status IN ('pending', 'processing', 'active', 'failed', 'deleted')", name="status"),
        CheckConstraint("knowledge_status IN ('indexing', 'indexed', 'failed', 'outdated')", name="knowledge_status"),
        Index("ix_knowledge_entries_tenant_created", "tenant_id", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    tenant_id: Mapped[str] = mapped_column(String(255))
    collection_id: Mapped[str | None] = mapped_column(String(255))
    file_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    original_filename: Mapped[str] = mapped_column(String(500))
    file_type: Mapped[str] = mapped_column(String(50))
    content_type: Mapped[str | None] = mapped_column(String(200))
    gcs_path: Mapped[str | None] = mapped_column(String(1000))
    status: Mapped[str] = mapped_column(String(50), server_default="pending")
    knowledge_status: Mapped[str | None] = mapped_column(String(50))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'::jsonb"))


class KnowledgeDetails(Base):
    """How an entry is indexed.

    `wanted` rises with each content and each wish to index it anew; `settled` is the one that was indexed or failed. Whoever indexes
    raises `epoch`, and writes only while it is still the one it made. `revision` rises with each change that a reader may follow.
    """

    __tablename__ = "knowledge_details"
    __table_args__ = (Index("ix_knowledge_details_tenant_sha256", "tenant_id", "sha256"),)

    entry_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("knowledge_entries.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[int | None] = mapped_column(Integer)
    wanted: Mapped[int] = mapped_column(Integer, server_default="1")
    settled: Mapped[int] = mapped_column(Integer, server_default="0")
    epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    step: Mapped[str] = mapped_column(String(20), server_default="queued")
    revision: Mapped[int] = mapped_column(Integer, server_default="1")
    chunks: Mapped[int] = mapped_column(Integer, server_default="0")
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    indexed_at: Mapped[dt.datetime | None]
    embedder: Mapped[str | None] = mapped_column(String(255))


_TEXT = "to_tsvector('english'::regconfig, coalesce(heading, '') || ' ' || content)"


class KnowledgeChunk(Base):
    """A piece of an entry's text, as it is found and cited."""

    __tablename__ = "knowledge_chunks"
    __table_args__ = (
        Index("ix_knowledge_chunks_words", "words", postgresql_using="gin"),
        Index("ix_knowledge_chunks_tenant_id", "tenant_id"),
    )

    entry_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("knowledge_entries.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    page: Mapped[int | None] = mapped_column(Integer)
    heading: Mapped[str | None] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int] = mapped_column(Integer)
    words: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(f"{_TEXT} || array_to_tsvector(ARRAY['tenant ' || tenant_id])", persisted=True),
    )


class HalfVector(UserDefinedType[str]):
    """pgvector's `halfvec`, of any number of dimensions, as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """As the server calls it."""
        return "halfvec"

    @property
    def python_type(self) -> type[str]:
        """Its text, such as `[1,0.5]`."""
        return str


# SQLAlchemy reads columns of types that it does not know as NULL, with a warning.
cast("dict[str, Any]", ischema_names)["halfvec"] = HalfVector


class KnowledgeVector(Base):
    """A chunk's vector, of unit length, and which embedder made it; a server without pgvector has no such table."""

    __tablename__ = "knowledge_vectors"
    __table_args__ = (
        ForeignKeyConstraint(["entry_id", "ordinal"], ["knowledge_chunks.entry_id", "knowledge_chunks.ordinal"], ondelete="CASCADE"),
        Index("ix_knowledge_vectors_tenant_id", "tenant_id"),
    )

    entry_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    embedder: Mapped[str] = mapped_column(String(255))
    embedding: Mapped[str] = mapped_column(HalfVector)


class KnowledgeLeftover(Base):
    """An object that no entry refers to, or not yet: it is removed once it is due. Its URI says nothing of whose it was."""

    __tablename__ = "knowledge_leftovers"
    __table_args__ = (Index("ix_knowledge_leftovers_due_at", "due_at"),)

    uri: Mapped[str] = mapped_column(String(1000), primary_key=True)
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
