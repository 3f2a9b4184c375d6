"""A decision and what it sets going, in one transaction: the first one counts, a late one changes nothing."""

from __future__ import annotations

from typing import Any

from pointsman.approvals import owners, queries
from pointsman.approvals.errors import ApprovalArgsDenied, ApprovalDecided, ApprovalNotFound, ApprovalOwnRun
from pointsman.approvals.permissions import readings
from pointsman.approvals.rows import Approval, Decision
from pointsman.approvals.schemas import ApprovalRead
from pointsman.audit.service import record
from pointsman.kit.db import Connection
from pointsman.kit.json_schema import JsonSchema, SchemaInvalidError
from pointsman.kit.principal import ADMIN, Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.runs.events import APPROVAL_DECIDED


async def decide(connection: Connection, approval: Approval, decision: Decision, principal: Principal | None = None) -> Approval:
    """The approval as decided; its run or job goes on when nothing else of it waits. Raises ApprovalDecided."""
    await queries.lock_owner(connection, approval)
    standing = await require(connection, approval.id, None)
    if standing.status not in {"pending", "expired"} or not await queries.store_decision(connection, approval.id, decision):
        raise decided(standing)
    approval = await require(connection, approval.id, None)
    await _audit(connection, approval, decision, principal)
    await owners.tell(connection, approval, APPROVAL_DECIDED, told(approval))
    if not await queries.has_pending(connection, approval):
        await owners.go_on(connection, approval)
    return approval


async def require(connection: Connection, approval_id: str, tenant: str | None) -> Approval:
    """An approval that the tenant may see. Raises ApprovalNotFound."""
    approval = await queries.find_approval(connection, approval_id, tenant)
    if approval is None:
        raise ApprovalNotFound(f"No approval {approval_id!r}.", hint="GET /v2/approvals lists them.")
    return approval


async def require_may_decide(connection: Connection, principal: Principal, approval: Approval) -> None:
    """Nobody approves what they asked for themselves. Raises ApprovalOwnRun."""
    own = approval.key_id
    if own is None or ADMIN in principal.scopes:
        return
    families = {row["key_id"]: row["family_id"] for row in await queries.list_families(connection, [own, principal.key_id])}
    if families.get(own, own) == families.get(principal.key_id, principal.key_id):
        raise ApprovalOwnRun(
            f"The key {principal.key_name} started the {'run' if approval.job_id is None else 'job'} that asks.",
            hint="Decide with another key that holds approvals:decide.",
        )


def checked_edit(approval: Approval, args: dict[str, Any] | None) -> dict[str, Any] | None:
    """Edited arguments that may be approved, None where nothing was edited. Raises InvalidRequest, ApprovalArgsDenied."""
    if args is None or args == approval.tool_args:
        return None
    errors = _errors(approval.parameters, args)
    if errors:
        raise InvalidRequest("The edited arguments do not fit the tool.", hint="GET /v2/tools has its parameters.", errors=errors)
    because = approval.rules.denies_any(approval.tool_name, readings(args, approval.parameters))
    if because is not None:
        message = f"{approval.tool_name} with these arguments is denied: {because}."
        raise ApprovalArgsDenied(message, errors=(FieldError("/args", message),))
    return args


def decided(approval: Approval) -> ApprovalDecided:
    """The problem of who comes too late, with what was decided inside."""
    by = f" by {approval.decided_by}" if approval.decided_by else ""
    return ApprovalDecided(
        f"The approval {approval.id} is {approval.status}{by}.", approval=ApprovalRead.of(approval).model_dump(mode="json")
    )


def told(approval: Approval) -> dict[str, Any]:
    """The approval in an event of its run, whose id every event has."""
    return ApprovalRead.of(approval).model_dump(mode="json", exclude={"run_id"})


def _errors(parameters: dict[str, Any] | None, args: dict[str, Any]) -> tuple[FieldError, ...]:
    if parameters is None:
        return ()
    try:
        schema = JsonSchema(parameters)
    except SchemaInvalidError:  # somebody else's tool: what it takes, it says itself when it is called
        return ()
    return tuple(FieldError(f"/args{error.pointer}", error.message) for error in schema.errors(args))


async def _audit(connection: Connection, approval: Approval, decision: Decision, principal: Principal | None) -> None:
    detail = {
        "tool_name": approval.tool_name,
        "run_id": approval.run_id,
        "job_id": None if approval.job_id is None else str(approval.job_id),
        "args_sha256": approval.args_sha256,
        "edited_sha256": approval.edited_sha256,
        "way": decision.way,
    }
    told = {name: value for name, value in detail.items() if value is not None}
    await record(
        connection,
        principal,
        f"approval.{approval.status}",
        "approval",
        approval.id,
        told,
        actor=decision.decided_by,
        tenant=approval.tenant_id,
    )
