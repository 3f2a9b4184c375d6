"""`pointsman budgets`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Everything, Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="What keys, tenants, users and agents may spend.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

BudgetId = Annotated[str, typer.Argument(help="Id of the budget.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call it.")]


@app.command("list")
def list_budgets(
    *,
    subject_type: Annotated[str | None, typer.Option("--of", help="Only those of: key, tenant, user or agent.")] = None,
    subject_id: Annotated[str | None, typer.Option("--subject", help="Only those of this key, tenant, user or agent.")] = None,
    everything: Everything = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List budgets and where each stands, newest first."""
    with connected() as client:
        budgets = list(client.budgets.list(subject_type=subject_type, subject_id=subject_id, include_inactive=everything, most=most))
    if as_json:
        show_json(budgets)
    else:
        table(budgets, ["id", "subject_type", "subject_id", "unit", "period", "amount", "spent", "reserved", "remaining", "resets_at"])


@app.command("show")
def show_budget(budget_id: BudgetId, *, as_json: Json = False) -> None:
    """Show a budget and where it stands."""
    with connected() as client:
        budget = client.budgets.read(budget_id)
    show_json(budget) if as_json else fields(budget)


@app.command("create")
def create_budget(
    amount: Annotated[float, typer.Argument(help="Tokens, or US dollars, a period.")],
    *,
    subject: Annotated[str, typer.Option("--for", metavar="TYPE:ID", help="Whose: key:12, tenant:acme, user:ann or agent:support.")],
    unit: Annotated[str, typer.Option("--unit", help="tokens or cost.")] = "tokens",
    period: Annotated[str, typer.Option("--period", help="A calendar day or month in UTC.")] = "month",
    budget_id: Annotated[str | None, typer.Option("--id", help="Id of the budget; unset: one is made.")] = None,
    name: Name = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of a user or agent, for operators: the tenant whose use counts.")] = None,
    as_json: Json = False,
) -> None:
    """Limit what somebody may spend; it takes effect within a second."""
    subject_type, separator, subject_id = subject.partition(":")
    if not (separator and subject_id):
        raise CommandRefused(f"--for {subject!r} is not TYPE:ID.", hint="For instance --for tenant:acme.")
    body: dict[str, Any] = {"subject_type": subject_type, "subject_id": subject_id, "unit": unit, "period": period}
    body |= {"amount": _number(amount), "id": budget_id, "name": name, "tenant_id": tenant}
    with connected() as client:
        budget = client.budgets.create({field: value for field, value in body.items() if value is not None})
    show_json(budget) if as_json else say(f"made budget {budget['id']}")


@app.command("edit")
def edit_budget(
    budget_id: BudgetId,
    *,
    amount: Annotated[float | None, typer.Option("--amount", help="Tokens, or US dollars, a period.")] = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Raise or lower a budget, or name it."""
    patch: dict[str, Any] = {} if name is None else {"name": name}
    if amount is not None:
        patch["amount"] = _number(amount)
    if not patch:
        raise CommandRefused("Nothing is to be changed.", hint="Give --amount or --name.")
    with connected() as client:
        budget = client.budgets.update(budget_id, patch)
    show_json(budget) if as_json else say(f"changed budget {budget_id}")


@app.command("delete")
def delete_budget(budget_id: BudgetId, *, yes: Yes = False) -> None:
    """Delete a budget: it limits nothing any more."""
    confirm(f"Delete budget {budget_id}?", yes=yes)
    with connected() as client:
        client.budgets.delete(budget_id)
    say(f"deleted budget {budget_id}")


def _number(amount: float) -> float:
    return int(amount) if amount.is_integer() else amount
