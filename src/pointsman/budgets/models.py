"""Tables of budgets: what is allowed, what of it is used, and what calls under way hold."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    UniqueConstraint,
    func,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps

AMOUNT = Numeric(24, 9)  # tokens, or US dollars to the nano-dollar


class Budget(Timestamps, Base):
    """Whose use is limited, and how.

    `tenant_id` is the tenant whose calls count, empty for the operator's own and for an agent's use by all. `family_id` is the family
    of a budgeted key: a rotation renews nothing. `version` rises with each change of any budget, so that caches read only what is new.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        CheckConstraint("subject_type IN ('key', 'tenant', 'user', 'agent')", name="subject_type"),
        CheckConstraint("unit IN ('tokens', 'cost')", name="unit"),
        CheckConstraint("period IN ('day', 'month')", name="period"),
        Index("ix_budgets_version", "version"),
        # An operator finds what it made by its id alone, whatever ids tenants choose.
        Index("uq_budgets_operator_id", "id", unique=True, postgresql_where=text("by_operator AND is_active")),
    )

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    id: Mapped[str] = mapped_column(String(255))
    name: Mapped[str | None] = mapped_column(String(255))
    subject_type: Mapped[str] = mapped_column(String(10))
    subject_id: Mapped[str] = mapped_column(String(255))
    family_id: Mapped[int | None] = mapped_column(Integer)
    unit: Mapped[str] = mapped_column(String(10))
    period: Mapped[str] = mapped_column(String(10))
    by_operator: Mapped[bool] = mapped_column(Boolean)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    version: Mapped[int] = mapped_column(BigInteger)


class BudgetCounter(Base):
    """What of a budget is used in the window that began at `window_start`.

    Narrow, half empty and without an index on what changes, so that each update stays within its page (HOT). The limit stands here
    and not beside the name: whoever has locked the row has the newest one.
    """

    __tablename__ = "budget_counters"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    number: Mapped[int] = mapped_column(ForeignKey("budgets.number", ondelete="CASCADE"), primary_key=True)
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    window_start: Mapped[dt.datetime]
    spent: Mapped[Decimal] = mapped_column(AMOUNT, server_default="0")
    reserved: Mapped[Decimal] = mapped_column(AMOUNT, server_default="0")


class BudgetReservation(Base):
    """What a model call of a run holds of a budget until it is settled; `slot` numbers the reservations of one owner of the run.

    No foreign keys: each would lock a row that all calls share.
    """

    __tablename__ = "budget_reservations"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
