"""The verbs of budgets, each one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from pointsman.access import queries as access_queries
from pointsman.audit.service import record
from pointsman.budgets import queries
from pointsman.budgets.errors import BudgetAmbiguous, BudgetExists, BudgetNotFound, BudgetOfOperator, BudgetTenantForbidden
from pointsman.budgets.rows import Budget, NewBudget, SubjectType
from pointsman.budgets.schemas import BudgetCreate, BudgetPatch, BudgetRead, on_the_wire, require_whole
from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import new_id
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.web.paging import Page, decode_cursor, page_of

TOPIC = "budgets"


class BudgetService:
    """Budgets as data.

    A key that works in a tenant sees that tenant's budgets, and makes ones of its own; those that an operator made it can neither
    change nor delete. A budget of an agent without a tenant counts everybody's use, and is the operators' to see.
    """

    def __init__(self, db: Database, *, require_agent: Callable[[str], Awaitable[object]], changed: Callable[[str | None], None]) -> None:
        """Make one; `require_agent` raises the Problem of an agent that does not exist, `changed` is told of each committed change."""
        self._db = db
        self._require_agent = require_agent
        self._changed = changed

    async def create_budget(self, principal: Principal, body: BudgetCreate) -> Budget:
        """The new budget; a deleted one comes back as it is now described. Raises BudgetExists, BudgetTenantForbidden, InvalidRequest."""
        if body.subject_type == "agent":
            await self._require_agent(body.subject_id)
        amount = _exact(body.amount)
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            new = await _described(connection, principal, body)
            number, action = await _put(connection, new, amount)
            budget = await queries.require_one(connection, number)
            await _announce(connection, principal, action, budget, _summary(budget))
        self._changed(str(number))
        return budget

    async def require_budget(self, principal: Principal, budget_id: str) -> Budget:
        """An active budget that the caller may see. Raises BudgetNotFound, BudgetAmbiguous."""
        async with self._db.connection() as connection:
            return _active(await _require(connection, principal, budget_id))

    async def list_budgets(
        self,
        principal: Principal,
        *,
        subject_type: SubjectType | None,
        subject_id: str | None,
        include_inactive: bool,
        limit: int,
        cursor: str | None,
    ) -> Page[BudgetRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, int)
        async with self._db.connection() as connection:
            rows = await queries.list_budgets(
                connection,
                principal.visible_tenant,
                subject_type=subject_type,
                subject_id=subject_id,
                include_inactive=include_inactive,
                before=before[0] if before else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, BudgetRead.of, lambda budget: (budget.number,))

    async def update_budget(self, principal: Principal, budget_id: str, patch: BudgetPatch) -> Budget:
        """The budget as changed. Raises BudgetNotFound, BudgetOfOperator, InvalidRequest."""
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            budget = _writable(principal, _active(await _require(connection, principal, budget_id)))
            changes = _changes(budget, patch)
            if not changes:
                return budget
            values: dict[str, Any] = {"name": budget.name, "amount": budget.amount} | changes
            await queries.update_budget(connection, budget.number, **values, is_active=True)
            was = {name: getattr(budget, name) for name in changes}
            budget = await queries.require_one(connection, budget.number)
            await _announce(connection, principal, "budget.updated", budget, {"from": _plain(was), "to": _plain(changes)})
        self._changed(str(budget.number))
        return budget

    async def delete_budget(self, principal: Principal, budget_id: str) -> None:
        """It limits nothing any more; again is fine. Raises BudgetNotFound, BudgetOfOperator."""
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            budget = _writable(principal, await _require(connection, principal, budget_id))
            if not budget.is_active:
                return
            await queries.update_budget(connection, budget.number, name=budget.name, amount=budget.amount, is_active=False)
            await _announce(connection, principal, "budget.deleted", budget, {})
        self._changed(str(budget.number))


async def _described(connection: Connection, principal: Principal, body: BudgetCreate) -> NewBudget:
    family = None
    if body.subject_type == "key":
        tenant, family = await _key(connection, principal, body)
    else:
        tenant = _tenant(principal, body)
    return NewBudget(
        tenant_id=tenant,
        id=body.id or new_id("bud"),
        name=body.name,
        subject_type=body.subject_type,
        subject_id=body.subject_id,
        family_id=family,
        unit=body.unit,
        period=body.period,
        by_operator=principal.is_operator,
    )


def _tenant(principal: Principal, body: BudgetCreate) -> str:
    """Whose calls count. A caller that works in a tenant cannot reach beyond it."""
    asked = body.subject_id if body.subject_type == "tenant" else body.tenant_id
    bound = principal.visible_tenant
    if bound is None:
        return asked or ""
    if asked is not None and asked != bound:
        raise BudgetTenantForbidden(
            f"This key works in the tenant {bound or 'of the operator'}.", hint=f"Leave the tenant out, or give {bound}."
        )
    return bound


async def _key(connection: Connection, principal: Principal, body: BudgetCreate) -> tuple[str, int]:
    """The tenant and the family of the key that is budgeted."""
    stored = await access_queries.find_key(connection, int(body.subject_id), principal.visible_tenant)
    if stored is None or not stored.key.is_active:
        raise _wrong("subject_id", f"There is no active key {body.subject_id}.", "GET /v2/keys lists them.")
    owner = stored.key.owner_id or ""
    if body.tenant_id not in {None, owner}:
        raise _wrong("tenant_id", f"The key {body.subject_id} is not of that tenant.", "Leave tenant_id out: the key has its own.")
    return owner, stored.family_id


async def _put(connection: Connection, new: NewBudget, amount: Decimal) -> tuple[int, str]:
    """Insert it or bring a deleted one back; its number, and what happened."""
    same_id = await queries.find_budgets(connection, new.id, None if new.by_operator else new.tenant_id)
    if any(one.is_active and (one.tenant_id == new.tenant_id or (one.by_operator and new.by_operator)) for one in same_id):
        raise BudgetExists(
            f"An active budget has the id {new.id}.", hint=f"Choose another id, or change it with PATCH /v2/budgets/{new.id}."
        )
    old = next((one for one in await queries.find_budgets(connection, new.id, new.tenant_id)), None)
    if old is None:
        return await queries.insert_budget(connection, new, amount), "budget.created"
    anew = any(getattr(old, name) != getattr(new, name) for name in ("subject_type", "subject_id", "unit", "period"))
    await queries.replace_budget(connection, old.number, new, amount, anew=anew)
    return old.number, "budget.restored"


async def _require(connection: Connection, principal: Principal, budget_id: str) -> Budget:
    """The budget that the caller means by its id: an operator's before those of tenants."""
    found = await queries.find_budgets(connection, budget_id, principal.visible_tenant)
    if not found:
        raise _not_found(budget_id)
    if len(found) > 1 and found[1].is_active and not found[0].by_operator:
        raise BudgetAmbiguous(f"Several tenants have a budget {budget_id}.", hint="Name the tenant with X-Pointsman-Tenant.")
    return found[0]


def _active(budget: Budget) -> Budget:
    if not budget.is_active:
        raise _not_found(budget.id)
    return budget


def _writable(principal: Principal, budget: Budget) -> Budget:
    if budget.by_operator and not principal.is_operator:
        raise BudgetOfOperator(f"An operator made the budget {budget.id}.", hint="Ask the operator, or add a budget of your own.")
    return budget


def _changes(budget: Budget, patch: BudgetPatch) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "name" in patch.model_fields_set:
        changes["name"] = patch.name
    if "amount" in patch.model_fields_set:
        try:
            if budget.unit == "tokens":
                require_whole(patch.amount)
        except ValueError as error:
            raise _wrong("amount", str(error), "This budget counts tokens.") from None
        changes["amount"] = _exact(patch.amount)
    return {name: value for name, value in changes.items() if value != getattr(budget, name)}


async def _announce(connection: Connection, principal: Principal, action: str, budget: Budget, detail: dict[str, object]) -> None:
    await record(connection, principal, action, "budget", budget.id, detail, tenant=budget.tenant_id)
    await notify(connection, TOPIC, budget.number)


def _summary(budget: Budget) -> dict[str, object]:
    return _plain({name: getattr(budget, name) for name in ("name", "subject_type", "subject_id", "unit", "period", "amount")})


def _plain(values: dict[str, Any]) -> dict[str, object]:
    return {name: on_the_wire(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))


def _not_found(budget_id: str) -> BudgetNotFound:
    return BudgetNotFound(f"There is no active budget {budget_id!r}.", hint="GET /v2/budgets lists them.")


def _wrong(field: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, errors=(FieldError(f"/{field}", message),))
