"""`pointsman usage`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.options import Json
from pointsman.cli.output import say, show, show_json, table

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_SUMS = ("calls", "prompt_tokens", "completion_tokens", "total_tokens", "cost")
_TITLES = {"prompt_tokens": "prompt", "completion_tokens": "completion", "total_tokens": "total", "cost": "cost $"}


@app.command()
def usage(
    *,
    group_by: Annotated[
        str, typer.Option("--group-by", "-g", help="Comma-separated: day, agent_id, user_id, session_id, model, key_id, tenant_id.")
    ] = "agent_id,model",
    since: Annotated[str | None, typer.Option("--from", help="First day, or moment in RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day, or moment after the report.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only of this agent.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only for this user.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only in this session.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Sum tokens and cost in US dollars."""
    if as_csv and as_json:
        raise CommandRefused("--csv and --json are both given.", hint="Give one of them.")
    query = {"group_by": group_by or None, "from": since, "to": until, "agent_id": agent, "user_id": user, "session_id": session}
    query["model"] = model
    with connected() as client:
        if as_csv:
            show(client.usage.csv(query), end="")
            return
        report: Any = client.usage.report(query)
    show_json(report) if as_json else show_report(report, group_by)


def show_report(report: Any, group_by: str) -> None:
    """The groups as a table, the sum as its last line, and what the sums leave out."""
    groups = [name.strip() for name in group_by.split(",") if name.strip()]
    total = dict.fromkeys(groups, "") | ({groups[0]: "TOTAL"} if groups else {}) | report["total"]
    rows = [{**row, "cost": f"{row['cost']:.6f}"} for row in [*report["items"], total]]
    table(rows, [*groups, *_SUMS], _TITLES)
    if report["total"]["estimated_calls"]:
        say(f"Calls that are estimated, because their provider reported nothing: {report['total']['estimated_calls']}.")
    if report["total"]["unpriced_calls"]:
        say(f"Calls without a known price, which are not in the cost: {report['total']['unpriced_calls']}.")
