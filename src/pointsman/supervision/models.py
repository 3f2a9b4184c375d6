"""The table of supervised runs."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import CheckConstraint, String, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class SupervisorRun(Base):
    """The story of a supervised run."""

    __tablename__ = "supervisor_runs"
    __table_args__ = (CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name="status"),)

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    team_id: Mapped[str] = mapped_column(String)
    session_id: Mapped[str | None] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(String)
    user_message: Mapped[str] = mapped_column(Text)
    supervisor_response: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    worker_agent_id: Mapped[str | None] = mapped_column(String)
    execution_engine: Mapped[str | None] = mapped_column(String)
    status: Mapped[str] = mapped_column(String, server_default="pending")
    execution_output: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[dt.datetime | None]
