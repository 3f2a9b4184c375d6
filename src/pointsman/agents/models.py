"""Tables of agents: the agent, and which prompt it is bound to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Integer, String, Text, false, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, JsonVarchar, Timestamps


class Agent(Timestamps, Base):
    """An agent as data."""

    __tablename__ = "agent_info"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String, server_default="2.0")
    prompt_service_id: Mapped[str | None] = mapped_column(String)
    tags: Mapped[list[str]] = mapped_column(JsonVarchar, server_default="[]")
    config: Mapped[dict[str, Any]] = mapped_column(JsonText, server_default="{}")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class AgentPrompt(Base):
    """Which version of its prompt an agent is pinned to, and whether the prompt was made with the agent."""

    __tablename__ = "agent_prompts"
    __table_args__ = (CheckConstraint("pinned_version IS NULL OR pinned_label IS NULL", name="one_pin"),)

    agent_id: Mapped[str] = mapped_column(ForeignKey("agent_info.id", ondelete="CASCADE"), primary_key=True)
    pinned_version: Mapped[int | None] = mapped_column(Integer)
    pinned_label: Mapped[str | None] = mapped_column(String(255))
    made_prompt: Mapped[bool] = mapped_column(Boolean, server_default=false())
