"""What can be wrong with asking for a budget, and with spending beyond one."""

from __future__ import annotations

from typing import Any

from pointsman.kit.problems import Kind, Problem
from pointsman.llm.errors import ModelProblem


class BudgetExhausted(ModelProblem):
    """The call does not fit into what is left of a budget that applies to it: no model was asked, or the answer was cut where it ended.

    `resets_at` says when the budget begins anew, and `budget` which one it is (its `id` where it is the caller's tenant's). Where only
    calls that are under way hold what is left, `Retry-After` is short, since they give back what they do not use. A smaller
    `max_tokens` or a shorter prompt may still fit. Whoever made the budget can raise its `amount` with `PATCH /v2/budgets/{id}`,
    which takes effect within a second.
    """

    kind = Kind.LIMITED
    code = "budget-exhausted"
    title = "The budget is used up"

    def describe(self) -> dict[str, Any]:
        """With the reset and the budget, which whoever reads the stored run needs as much."""
        return super().describe() | {name: self.fields[name] for name in ("resets_at", "budget") if name in self.fields}


class BudgetUnpriced(ModelProblem):
    """A budget in `cost` applies, and no price is known for one of the call's models: what cannot be counted is not asked.

    Use a model with a known price, or limit `tokens` instead. Prices are those of the public list that comes with this release;
    OpenAI-compatible providers under a name of yours have none.
    """

    kind = Kind.INVALID
    code = "budget-unpriced"
    title = "The model has no price that a budget could count"


class BudgetNotFound(Problem):
    """No budget has this id, or it belongs to another tenant, or it was deleted.

    `GET /v2/budgets` lists those that the calling key may see. Each tenant has ids of its own: an operator that means a budget
    which a tenant made names the tenant with `X-Pointsman-Tenant`.
    """

    kind = Kind.NOT_FOUND
    code = "budget-not-found"
    title = "No such budget"


class BudgetExists(Problem):
    """An active budget has this id already.

    Change it with `PATCH /v2/budgets/{id}`, delete it first, or choose another id. Ids of budgets that operators make are unique among
    all of those.
    """

    kind = Kind.CONFLICT
    code = "budget-exists"
    title = "A budget with this id exists"


class BudgetAmbiguous(Problem):
    """Several tenants have made a budget with this id, and the calling operator named none of them.

    Name the tenant with the header `X-Pointsman-Tenant`.
    """

    kind = Kind.CONFLICT
    code = "budget-ambiguous"
    title = "Several budgets have this id"


class BudgetOfOperator(Problem):
    """An operator made this budget, so a tenant's key may read it, but neither change nor delete it.

    Ask the operator. A tenant may add budgets of its own beside it: a call has to fit into all of them.
    """

    kind = Kind.FORBIDDEN
    code = "budget-of-operator"
    title = "The budget is the operator's"


class BudgetTenantForbidden(Problem):
    """A key that works in a tenant makes budgets for that tenant alone.

    Leave `tenant_id` out, and for a budget of the tenant itself give the key's own tenant as `subject_id`; `GET /v2/whoami` shows it.
    """

    kind = Kind.FORBIDDEN
    code = "budget-tenant-forbidden"
    title = "That is not your tenant"
