"""Rows of budgets: as they are read, as calls need them, and who pays for a call."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from pointsman.kit.db import Record

SubjectType = Literal["key", "tenant", "user", "agent"]
Unit = Literal["tokens", "cost"]
Period = Literal["day", "month"]


class Payer(NamedTuple):
    """Whose budgets a call counts against; the tenant is empty for the operator's own."""

    tenant_id: str
    agent_id: str
    user_id: str | None
    key_id: int | None


class ActiveBudget(NamedTuple):
    """A budget as calls need it."""

    number: int
    tenant_id: str
    id: str
    subject_type: SubjectType
    subject_id: str
    family_id: int | None
    unit: Unit
    period: Period
    version: int


class Budget(msgspec.Struct, frozen=True):
    """A budget and where it stands now, by the database's clock."""

    number: int
    tenant_id: str
    id: str
    name: str | None
    subject_type: SubjectType
    subject_id: str
    family_id: int | None
    unit: Unit
    period: Period
    by_operator: bool
    is_active: bool
    created_at: dt.datetime
    updated_at: dt.datetime
    amount: Decimal
    spent: Decimal
    reserved: Decimal
    window_started_at: dt.datetime
    resets_at: dt.datetime

    @classmethod
    def of(cls, row: Record) -> Budget:
        """From what a statement returned."""
        return cls(**row)


class NewBudget(NamedTuple):
    """A budget to be made, or to come back."""

    tenant_id: str
    id: str
    name: str | None
    subject_type: SubjectType
    subject_id: str
    family_id: int | None
    unit: Unit
    period: Period
    by_operator: bool
