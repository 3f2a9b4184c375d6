"""Rows of approvals: what is asked, and what came of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec

from pointsman.approvals.hashing import sha256_of
from pointsman.approvals.permissions import Rules
from pointsman.kit import json_text
from pointsman.kit.db import Record

Status = Literal["pending", "approved", "denied", "expired", "cancelled"]
RiskLevel = Literal["low", "medium", "high"]
Decided = Literal["approved", "denied", "expired"]
Way = Literal["api", "link", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A call that somebody has to decide about. `parameters` is the JSON schema of the tool's arguments, where there is one."""

    tenant_id: str
    user_id: str | None
    key_id: int | None
    run_id: str | None
    job_id: UUID | None = None
    step: int
    call_id: str
    tool_name: str
    tool_args: dict[str, Any]
    rules: Rules
    parameters: dict[str, Any] | None = None
    risk_level: RiskLevel = "medium"
    reason: str

    @property
    def args_sha256(self) -> str:
        """What a decision is bound to."""
        return sha256_of(self.tool_args)


class Approval(msgspec.Struct, frozen=True):
    """An approval as it counts now: expired when its time is over, cancelled when its run or job has ended, also before that is written."""

    id: str
    ordinal: int
    tenant_id: str
    key_id: int | None
    run_id: str | None
    job_id: UUID | None
    step: int
    call_id: str
    tool_name: str
    tool_args: dict[str, Any]
    args_sha256: str
    edited_args: dict[str, Any] | None
    edited_sha256: str | None
    rules: Rules
    parameters: dict[str, Any] | None
    risk_level: RiskLevel
    reason: str
    status: Status
    created_at: dt.datetime
    expires_at: dt.datetime
    decided_by: str | None
    decided_at: dt.datetime | None
    note: str | None

    @classmethod
    def of(cls, row: Record) -> Approval:
        """From what a statement returned."""
        values: dict[str, Any] = {**row, "rules": _rules.decode(row["rules"])}
        for name in ("tool_args", "edited_args", "parameters"):
            values[name] = None if row[name] is None else json_text.decode(row[name])
        return cls(**values)

    @property
    def args(self) -> dict[str, Any]:
        """The arguments to use: as they were edited, else as they were shown."""
        return self.tool_args if self.edited_args is None else self.edited_args


_rules = msgspec.json.Decoder(Rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody decided: `key_id` is the key that did, None for a link or for time that ran out."""

    status: Decided
    decided_by: str
    way: Way = "api"
    key_id: int | None = None
    note: str | None = None
    args: dict[str, Any] | None = None
