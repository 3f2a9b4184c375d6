"""The table of calls that left the gateway."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Integer, String, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class SentCall(Base):
    """A tool call that may change something elsewhere and was about to be sent, by the model's answer that asked for it."""

    __tablename__ = "sent_calls"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    call_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    sent_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
