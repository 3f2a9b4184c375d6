"""The verbs of approvals: list, read, decide."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pointsman.approvals import queries
from pointsman.approvals.deciding import checked_edit, decide, decided, require, require_may_decide
from pointsman.approvals.errors import ApprovalNotFound, ApprovalScopeMissing
from pointsman.approvals.rows import Approval, Asking, Decision, Status
from pointsman.approvals.schemas import ApprovalRead, Choice
from pointsman.audit.service import SYSTEM, record
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.runs.schemas import RunDecision
from pointsman.web.paging import Page, decode_cursor, page_of

DECIDE = "approvals:decide"
_DECIDING = failpoints.declare("approvals.decide", "Somebody decides: the approval, its event, and what goes on from it.")
_TTL_NOTE = "Nobody decided in time."


class ApprovalService:
    """What people do about approvals; a key that works in a tenant sees that tenant's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_approvals(
        self,
        principal: Principal,
        *,
        status: Status | None,
        run_id: str | None,
        job_id: UUID | None,
        limit: int,
        cursor: str | None,
    ) -> Page[ApprovalRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, int)
        async with self._db.connection() as connection:
            rows = await queries.list_approvals(
                connection,
                principal.visible_tenant,
                status=status,
                run_id=run_id,
                job_id=job_id,
                before=before[0] if before else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, ApprovalRead.of, lambda row: (row.ordinal,))

    async def require_approval(self, principal: Principal, approval_id: str) -> Approval:
        """One that the caller may see. Raises ApprovalNotFound."""
        async with self._db.connection() as connection:
            return await require(connection, approval_id, principal.visible_tenant)

    async def decide(
        self, principal: Principal, approval_id: str, choice: Choice, *, note: str | None = None, args: dict[str, Any] | None = None
    ) -> Approval:
        """The approval as decided.

        Raises ApprovalNotFound, ApprovalOwnRun, ApprovalDecided with the first decision inside, InvalidRequest, ApprovalArgsDenied.
        """
        await _DECIDING.reach("before")
        async with self._db.transaction() as connection:
            approval = await _decide(connection, principal, approval_id, choice, note, args)
            await _DECIDING.reach("in")
        await _DECIDING.reach("after")
        return approval

    async def decide_for_run(self, principal: Principal, run_id: str, decisions: Sequence[RunDecision]) -> None:
        """All or none of them. Raises ApprovalScopeMissing and what `decide` raises."""
        if not principal.may(DECIDE):
            raise ApprovalScopeMissing(f"The key {principal.key_name} does not hold {DECIDE}.")
        async with self._db.transaction() as connection:
            for each in decisions:
                approval = await require(connection, each.id, principal.visible_tenant)
                if approval.run_id != run_id and not await queries.is_child(connection, approval.run_id, run_id):
                    raise ApprovalNotFound(f"The run {run_id} has no approval {each.id!r}.", hint=f"GET /v2/approvals?run_id={run_id}")
                await _decide(connection, principal, each.id, each.decision, each.note, each.args)


async def ask(connection: Connection, asking: Asking, ttl: timedelta) -> Approval:
    """Its approval, made at the first call for it and found afterwards; the call may be made only once that is `approved`."""
    approval_id = new_id("apr")
    if await queries.insert_approval(connection, approval_id, asking, ttl):
        detail = {"tool_name": asking.tool_name, "args_sha256": asking.args_sha256, "run_id": asking.run_id}
        if asking.job_id is not None:
            detail["job_id"] = str(asking.job_id)
        await record(connection, None, "approval.requested", "approval", approval_id, detail, tenant=asking.tenant_id)
    found = await queries.find_for_call(connection, run_id=asking.run_id, job_id=asking.job_id, step=asking.step, call_id=asking.call_id)
    assert found is not None
    return found


async def settle_over(db: Database, most: int = 50) -> int:
    """Deny what nobody decided in time, cancel what nobody waits for any more, one transaction each; how many. Raises Unavailable."""
    async with db.connection() as connection:
        over = await queries.list_over(connection, most)
    for approval in over:
        async with db.transaction() as connection:
            if approval.status == "cancelled":
                await queries.cancel(connection, approval.id)
            else:
                await _expire(connection, approval)
    return len(over)


async def _expire(connection: Connection, approval: Approval) -> None:
    await queries.lock_owner(connection, approval)
    # Another replica may have been quicker.
    if await queries.is_overdue(connection, approval.id):
        await decide(connection, approval, Decision(status="expired", decided_by=SYSTEM, way="time", note=_TTL_NOTE))


async def _decide(
    connection: Connection, principal: Principal, approval_id: str, choice: Choice, note: str | None, args: dict[str, Any] | None
) -> Approval:
    approval = await require(connection, approval_id, principal.visible_tenant)
    await require_may_decide(connection, principal, approval)
    if choice == "deny" and args is not None:
        message = "Only an approval takes edited arguments."
        raise InvalidRequest(message, hint="Leave args out, or approve.", errors=(FieldError("/args", message),))
    if approval.status != "pending":
        raise decided(approval)
    status = "approved" if choice == "approve" else "denied"
    edited = checked_edit(approval, args)
    decision = Decision(status=status, decided_by=principal.key_name, key_id=principal.key_id, note=note, args=edited)
    return await decide(connection, approval, decision, principal)
