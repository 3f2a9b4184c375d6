"""Tables of teams and their members."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Text, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps


class Team(Timestamps, Base):
    """A team of agents."""

    __tablename__ = "team_info"
    __table_args__ = (CheckConstraint("mode IN ('coordinate', 'supervisor')", name="mode"),)

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String, server_default="2.0")
    mode: Mapped[str] = mapped_column(String)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class TeamAgent(Base):
    """A membership; one live one per team and agent."""

    __tablename__ = "team_agent"
    __table_args__ = (Index("uq_team_agent_live", "team_id", "agent_id", unique=True, postgresql_where=text("is_active")),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team_info.id"))
    agent_id: Mapped[str] = mapped_column(ForeignKey("agent_info.id"))
    role: Mapped[str | None] = mapped_column(String)
    order_index: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
