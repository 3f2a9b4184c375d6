"""Routes of webhooks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.webhooks.rows import Status
from pointsman.webhooks.schemas import (
    DeliveryRead,
    Replay,
    Replayed,
    TestRead,
    WebhookCreate,
    WebhookIssued,
    WebhookPatch,
    WebhookRead,
)
from pointsman.webhooks.service import WebhookService

router = APIRouter(tags=["webhooks"])

Webhooks = Annotated[WebhookService, Depends(provided(WebhookService))]
WithStatus = Annotated[Status | None, Query(description="Only those that are so now.")]


@router.post("/v2/webhooks", status_code=201, responses={201: {"headers": LOCATION}})
async def create_webhook(body: WebhookCreate, webhooks: Webhooks, caller: Caller, response: Response) -> WebhookIssued:
    """Have a URL told what happens in the tenant; `secret` is shown this once."""
    endpoint = await webhooks.create_endpoint(caller, body)
    response.headers["Location"] = f"/v2/webhooks/{endpoint.id}"
    return endpoint


@router.get("/v2/webhooks")
async def list_webhooks(webhooks: Webhooks, caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[WebhookRead]:
    """List endpoints, newest first."""
    return await webhooks.list_endpoints(caller, limit=limit, cursor=cursor)


@router.get("/v2/webhooks/{webhook_id}")
async def read_webhook(webhook_id: str, webhooks: Webhooks, caller: Caller) -> WebhookRead:
    """Read an endpoint."""
    return await webhooks.require_endpoint(caller, webhook_id)


@router.patch("/v2/webhooks/{webhook_id}")
async def update_webhook(webhook_id: str, body: WebhookPatch, webhooks: Webhooks, caller: Caller) -> WebhookRead:
    """Change, disable or enable an endpoint; what waits for one that is disabled is cancelled."""
    return await webhooks.update_endpoint(caller, webhook_id, body)


@router.delete("/v2/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(webhook_id: str, webhooks: Webhooks, caller: Caller) -> None:
    """Delete an endpoint; what waits for it is cancelled."""
    await webhooks.delete_endpoint(caller, webhook_id)


@router.get("/v2/webhooks/{webhook_id}/deliveries")
async def list_deliveries(
    webhook_id: str, webhooks: Webhooks, caller: Caller, status: WithStatus = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[DeliveryRead]:
    """List what was and is to be delivered to an endpoint, newest first."""
    return await webhooks.list_deliveries(caller, webhook_id, status=status, limit=limit, cursor=cursor)


@router.post("/v2/webhooks/{webhook_id}/test")
async def test_webhook(webhook_id: str, webhooks: Webhooks, caller: Caller) -> TestRead:
    """Send a test event now, and see what is answered."""
    return await webhooks.test_endpoint(caller, webhook_id)


@router.post("/v2/webhooks/{webhook_id}/replay", status_code=202)
async def replay_webhook(webhook_id: str, body: Replay, webhooks: Webhooks, caller: Caller) -> Replayed:
    """Send deliveries again, under the same ids: one, or those since a moment."""
    return Replayed(replayed=await webhooks.replay(caller, webhook_id, body))


@router.post("/v2/webhooks/{webhook_id}/rotate-secret")
async def rotate_webhook_secret(webhook_id: str, webhooks: Webhooks, caller: Caller) -> WebhookIssued:
    """Make a new secret, shown this once; the one before signs as well for 24 hours."""
    return await webhooks.rotate_secret(caller, webhook_id)
