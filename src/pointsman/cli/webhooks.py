"""`pointsman webhooks`: who is told what happens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="Who is told what happens.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

WebhookId = Annotated[str, typer.Argument(help="Id of the endpoint.")]
Events = Annotated[list[str] | None, typer.Option("--event", help="An event type that it is told, such as approval.requested; repeatable.")]


@app.command("list")
def list_webhooks(*, most: Most = 50, as_json: Json = False) -> None:
    """List endpoints, newest first."""
    with connected() as client:
        found = list(client.webhooks.list(most=most))
    show_json(found) if as_json else table(found, ["id", "name", "url", "enabled", "failures", "event_types"])


@app.command("show")
def show_webhook(webhook_id: WebhookId, *, as_json: Json = False) -> None:
    """Show an endpoint."""
    with connected() as client:
        webhook = client.webhooks.read(webhook_id)
    show_json(webhook) if as_json else fields(webhook)


@app.command("create")
def create_webhook(
    url: Annotated[str, typer.Argument(help="Where events are posted.")],
    *,
    event: Events = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    as_json: Json = False,
) -> None:
    """Have a URL told what happens; its secret is shown this once."""
    body: dict[str, Any] = {"url": url} | ({"event_types": event} if event else {}) | ({"name": name} if name else {})
    with connected() as client:
        made = client.webhooks.create(body)
    show_json(made) if as_json else fields(made)


@app.command("update")
def update_webhook(
    webhook_id: WebhookId,
    *,
    url: Annotated[str | None, typer.Option("--url", help="Where events are posted from now on.")] = None,
    event: Events = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it is told anything.")] = None,
    as_json: Json = False,
) -> None:
    """Change, disable or enable an endpoint; what waits for one that is disabled is cancelled."""
    given = {"url": url, "event_types": event, "enabled": enabled}
    with connected() as client:
        webhook = client.webhooks.update(webhook_id, {name: value for name, value in given.items() if value is not None})
    show_json(webhook) if as_json else fields(webhook)


@app.command("deliveries")
def list_deliveries(
    webhook_id: WebhookId,
    *,
    status: Annotated[str | None, typer.Option("--status", help="pending, delivered, failed or cancelled.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List what was and is to be delivered, newest first."""
    with connected() as client:
        found = list(client.webhooks.deliveries(webhook_id, status=status, most=most))
    show_json(found) if as_json else table(found, ["id", "event_type", "status", "attempts", "last_status", "last_error", "next_at"])


@app.command("test")
def send_test(webhook_id: WebhookId, *, as_json: Json = False) -> None:
    """Send a test event now, and see what is answered."""
    with connected() as client:
        told = client.webhooks.test(webhook_id)
    show_json(told) if as_json else fields(told)


@app.command("replay")
def replay_webhook(
    webhook_id: WebhookId,
    *,
    delivery: Annotated[str | None, typer.Option("--delivery", help="This delivery alone.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Those not delivered since a moment: 2026-01-31T12:00:00Z.")] = None,
    include_delivered: Annotated[bool, typer.Option("--include-delivered", help="With --since: also those that were.")] = False,
) -> None:
    """Send deliveries again, under the same ids."""
    given: dict[str, Any] = {"delivery_id": delivery, "since": since, "include_delivered": include_delivered}
    with connected() as client:
        replayed = client.webhooks.replay(webhook_id, {name: value for name, value in given.items() if value})
    say(f"{replayed} deliveries are sent again")


@app.command("rotate")
def rotate_secret(webhook_id: WebhookId, *, as_json: Json = False) -> None:
    """Make a new secret, shown this once; the one before signs as well for 24 hours."""
    with connected() as client:
        webhook = client.webhooks.rotate_secret(webhook_id)
    show_json(webhook) if as_json else fields(webhook)


@app.command("delete")
def delete_webhook(webhook_id: WebhookId, *, yes: Yes = False) -> None:
    """Delete an endpoint; what waits for it is cancelled."""
    confirm(f"Delete webhook {webhook_id}?", yes=yes)
    with connected() as client:
        client.webhooks.delete(webhook_id)
    say(f"deleted webhook {webhook_id}")
