"""The table of knowledge entries."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import CheckConstraint, String, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps


class KnowledgeEntry(Timestamps, Base):
    """A file that belongs to a tenant, perhaps within a collection."""

    __tablename__ = "knowledge_entries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "file_id"),
        CheckConstraint("file_type IN ('company', 'project')", name="file_type"),
        CheckConstraint("status IN ('pending', 'processing', 'active', 'failed', 'deleted')", name="status"),
        CheckConstraint("knowledge_status IN ('indexing', 'indexed', 'failed', 'outdated')", name="knowledge_status"),
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
