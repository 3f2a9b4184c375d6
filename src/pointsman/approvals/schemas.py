"""Approvals on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, field_validator

from pointsman.approvals.rows import Approval, RiskLevel, Status
from pointsman.web.wire import Body, Moment, Read

Note = Annotated[str, StringConstraints(max_length=2000)]


class ApprovalRead(Read):
    """A call that waits for a decision, or what was decided."""

    id: str
    run_id: str | None
    job_id: UUID | None
    call_id: str = Field(description="The call's id in `tool.called`.")
    tool_name: str
    tool_args: dict[str, Any] = Field(description="The arguments as they are shown; the decision is bound to them.")
    args_sha256: str = Field(description="Of their canonical JSON: sorted keys, no spaces, UTF-8.")
    edited_args: dict[str, Any] | None = Field(description="The arguments that were approved in their place.")
    risk_level: RiskLevel
    reason: str = Field(description="Why somebody is asked.")
    status: Status
    created_at: Moment
    expires_at: Moment = Field(description="When it counts as denied.")
    decided_by: str | None = Field(description="The deciding key's name, `link` or `system`.")
    decided_at: Moment | None
    note: str | None

    @classmethod
    def of(cls, approval: Approval) -> ApprovalRead:
        """From its row."""
        return cls.model_validate(approval)


class DecisionBody(Body):
    """A decision with what is to be said about it; `args` are approved in place of those that were asked for."""

    note: Note | None = Field(default=None, description="Told to the model, and kept.")
    args: dict[str, Any] | None = Field(default=None, description="Edited arguments; only with an approval.")

    @field_validator("note")
    @classmethod
    def _says_something(cls, note: str | None) -> str | None:
        return (note.strip() or None) if note else None


class LinksRead(Read):
    """Addresses at which a person decides without a key; whoever has one may use it."""

    approve: str
    deny: str
    expires_at: Moment


Choice = Literal["approve", "deny"]
