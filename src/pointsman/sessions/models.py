"""Tables of conversations: sessions, their messages as rows, and what is remembered about a user."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Integer, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps


class Session(Timestamps, Base):
    """A conversation. The same visible id in two tenants is two sessions.

    A member of a team has one of its own for each of the team's, whose id is `parent_id`.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_tenant_id_created_at", "tenant_id", "created_at", "id"),
        Index("ix_sessions_user", "tenant_id", "user_id", "id"),
        Index("ix_sessions_parent", "tenant_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    )

    tenant_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(String(255))
    agent_id: Mapped[str | None] = mapped_column(String(255))
    parent_id: Mapped[str | None] = mapped_column(String(255))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'::jsonb"))


class Message(Base):
    """One message of a run, in the words of `llm.port`; `position` counts from 0, the user's own, within the run."""

    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"], ondelete="CASCADE"),
        Index("ix_messages_session", "tenant_id", "session_id", "created_at"),
    )

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    session_id: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class PastTurn(Base):
    """What the history of a session needs of a run that has expired; `ordinal` orders turns as it did runs."""

    __tablename__ = "past_turns"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"], ondelete="CASCADE"),
        Index("ix_past_turns_session", "tenant_id", "session_id", "ordinal"),
    )

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    session_id: Mapped[str] = mapped_column(String(255))
    ordinal: Mapped[int] = mapped_column(BigInteger)
    subject: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20))


class Memory(Timestamps, Base):
    """A fact that an agent keeps about a user, beyond the session in which it was told."""

    __tablename__ = "memories"
    __table_args__ = (Index("ix_memories_recall", "tenant_id", "user_id", "agent_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str] = mapped_column(String(255))
    agent_id: Mapped[str] = mapped_column(String(255))
    content: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(String(64))
