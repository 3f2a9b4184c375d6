"""The audit log on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pointsman.audit.chain import Verdict
from pointsman.audit.rows import AuditEntry
from pointsman.web.wire import Moment, Read


class Seal(Read):
    """Where an entry stands in the hash chain."""

    seq: int
    prev_hash: str
    hash: str


class AuditEntryRead(Read):
    """One change: who did what to which object, and when."""

    id: int
    at: Moment
    tenant: str | None = Field(description="null: the operator's own.")
    actor: str = Field(description="The key's name, or `cli` or `system`.")
    actor_key_id: int | None
    action: str
    object_type: str
    object_id: str
    detail: dict[str, Any]
    request_id: str | None
    seal: Seal | None = Field(description="null until the entry is sealed, about a second.")

    @classmethod
    def of(cls, row: AuditEntry) -> AuditEntryRead:
        """From its row."""
        same = {name: getattr(row, name) for name in cls.model_fields if name not in {"tenant", "seal"}}
        return cls(**same, tenant=row.tenant_id or None, seal=_seal(row))


class HeadRead(Read):
    """A point of the chain; keep it elsewhere to prove later that nothing before it was rewritten."""

    seal_seq: int
    hash: str


class FaultRead(Read):
    """Something in the chain that does not fit."""

    seal_seq: int
    what: str


class VerdictRead(Read):
    """Whether the chain is sound; at most 20 faults are told."""

    sound: bool
    sealed: int
    unsealed: int
    head: HeadRead
    faults: list[FaultRead]

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictRead:
        """From a verdict."""
        return cls(
            sound=verdict.is_sound,
            sealed=verdict.sealed,
            unsealed=verdict.unsealed,
            head=HeadRead.model_validate(verdict.head),
            faults=[FaultRead.model_validate(fault) for fault in verdict.faults],
        )


def _seal(row: AuditEntry) -> Seal | None:
    if row.seal_seq is None or row.prev_hash is None or row.hash is None:
        return None
    return Seal(seq=row.seal_seq, prev_hash=row.prev_hash, hash=row.hash)
