"""`pointsman approvals`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.inputs import read_object
from pointsman.cli.options import Json, Most
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="What waits for a person, and the decision.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

ApprovalId = Annotated[str, typer.Argument(help="Id of the approval.")]
Note = Annotated[str | None, typer.Option("--note", help="What the model is to hear about it.")]


@app.command("list")
def list_approvals(
    *,
    status: Annotated[str | None, typer.Option("--status", help="pending, approved, denied, expired or cancelled.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only of this run.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only of this job.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List approvals, newest first."""
    with connected() as client:
        approvals = list(client.approvals.list({"status": status, "run_id": run, "job_id": job}, most=most))
    if as_json:
        show_json(approvals)
        return
    rows = [{**each, "call": f"{each['tool_name']} {json.dumps(each['tool_args'], ensure_ascii=False)}"} for each in approvals]
    table(rows, ["id", "status", "risk_level", "call", "expires_at", "decided_by", "run_id", "job_id"])


@app.command("show")
def show_approval(approval_id: ApprovalId, *, as_json: Json = False) -> None:
    """Show what would be called with which arguments, and what was decided."""
    with connected() as client:
        approval = client.approvals.read(approval_id)
    show_json(approval) if as_json else fields(approval)


@app.command("approve")
def approve(
    approval_id: ApprovalId,
    *,
    note: Note = None,
    args: Annotated[Path | None, typer.Option("--args", help="A file with edited arguments as a JSON object; - is standard input.")] = None,
    as_json: Json = False,
) -> None:
    """Let the call be made; the first decision counts."""
    edited = None if args is None else read_object(args)
    with connected() as client:
        approval = client.approvals.approve(approval_id, note=note, args=edited)
    show_json(approval) if as_json else say(f"approved {approval['tool_name']} ({approval_id})")


@app.command("deny")
def deny(approval_id: ApprovalId, *, note: Note = None, as_json: Json = False) -> None:
    """Forbid the call; the first decision counts."""
    with connected() as client:
        approval = client.approvals.deny(approval_id, note=note)
    show_json(approval) if as_json else say(f"denied {approval['tool_name']} ({approval_id})")
