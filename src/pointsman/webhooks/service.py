"""The verbs of webhooks, each one transaction; `Deliverer` makes them act."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from pointsman.audit.service import record
from pointsman.kit.clock import rfc3339
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.web.paging import Page, decode_cursor, page_of
from pointsman.webhooks import delivery_queries, queries
from pointsman.webhooks.delivering import Send
from pointsman.webhooks.errors import WebhookDeliveryNotFound, WebhookDisabled, WebhookNotFound, WebhooksTooMany
from pointsman.webhooks.pace import LEASE
from pointsman.webhooks.rows import TEST, Due, Status
from pointsman.webhooks.schemas import DeliveryRead, Replay, TestRead, WebhookCreate, WebhookIssued, WebhookPatch, WebhookRead
from pointsman.webhooks.secrets import make_secret, seal
from pointsman.webhooks.settling import settle

MOST_ENDPOINTS = 20
OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation signs as well."""
MOST_REPLAYED = 10_000


class Checks(Protocol):
    """The way out, as far as it is needed here."""

    def check_url(self, url: str) -> None:
        """Refuse what can be refused without asking anybody. Raises EgressRefused."""
        ...


class WebhookService:
    """Endpoints as data; a key that works in a tenant sees that tenant's."""

    def __init__(self, db: Database, keyring: KeyRing, checks: Checks, send: Send) -> None:
        self._db = db
        self._keyring = keyring
        self._checks = checks
        self._send = send

    async def create_endpoint(self, principal: Principal, body: WebhookCreate) -> WebhookIssued:
        """The new endpoint with its secret. Raises EgressRefused, WebhooksTooMany."""
        self._checks.check_url(body.url)
        endpoint_id, secret, tenant = new_id("whk"), make_secret(), principal.tenant_key
        sealed = seal(self._keyring, endpoint_id, secret)
        async with self._db.transaction() as connection:
            if await queries.count_endpoints(connection, tenant) >= MOST_ENDPOINTS:
                raise WebhooksTooMany(f"There are {MOST_ENDPOINTS} endpoints, which is the most.", hint="GET /v2/webhooks lists them.")
            row = await queries.insert_endpoint(
                connection, endpoint_id, tenant, body.name, body.url, list(body.event_types), sealed, body.enabled
            )
            await _note(connection, principal, "webhook.created", row)
        return WebhookIssued.showing(row, secret)

    async def list_endpoints(self, principal: Principal, *, limit: int, cursor: str | None) -> Page[WebhookRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, int)
        async with self._db.connection() as connection:
            rows = await queries.list_endpoints(connection, principal.visible_tenant, before[0] if before else None, limit + 1)
        return page_of(rows, limit, WebhookRead.of, lambda row: (row["ordinal"],))

    async def require_endpoint(self, principal: Principal, endpoint_id: str) -> WebhookRead:
        """One that the caller may see. Raises WebhookNotFound."""
        async with self._db.connection() as connection:
            return WebhookRead.of(await _require(connection, principal, endpoint_id))

    async def update_endpoint(self, principal: Principal, endpoint_id: str, patch: WebhookPatch) -> WebhookRead:
        """As changed; what waits for one that is disabled is cancelled. Raises WebhookNotFound, EgressRefused."""
        sent = {name: getattr(patch, name) for name in patch.model_fields_set}
        if "url" in sent:
            self._checks.check_url(sent["url"])
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, endpoint_id, lock=True)
            values = {name: sent.get(name, row[name]) for name in ("name", "url", "event_types", "enabled")}
            changed = await queries.update_endpoint(connection, endpoint_id, **values)
            if not values["enabled"]:
                await delivery_queries.cancel_pending(connection, endpoint_id)
            await _note(connection, principal, "webhook.updated", changed, fields=sorted(sent))
        return WebhookRead.of(changed)

    async def delete_endpoint(self, principal: Principal, endpoint_id: str) -> None:
        """Delete it; what waits for it is cancelled. Repeatable. Raises WebhookNotFound."""
        async with self._db.transaction() as connection:
            row = await queries.find_endpoint(connection, endpoint_id, principal.visible_tenant, lock=True)
            if row is None and await queries.is_deleted(connection, endpoint_id, principal.visible_tenant):
                return
            if row is None:
                raise _not_found(endpoint_id)
            await queries.delete_endpoint(connection, endpoint_id)
            await delivery_queries.cancel_pending(connection, endpoint_id)
            await _note(connection, principal, "webhook.deleted", row)

    async def rotate_secret(self, principal: Principal, endpoint_id: str) -> WebhookIssued:
        """The endpoint with a new secret; the one before signs as well for `OVERLAP`. Raises WebhookNotFound."""
        secret = make_secret()
        async with self._db.transaction() as connection:
            await _require(connection, principal, endpoint_id, lock=True)
            row = await queries.rotate_secret(connection, endpoint_id, seal(self._keyring, endpoint_id, secret), OVERLAP)
            await _note(connection, principal, "webhook.secret_rotated", row)
        return WebhookIssued.showing(row, secret)

    async def list_deliveries(
        self, principal: Principal, endpoint_id: str, *, status: Status | None, limit: int, cursor: str | None
    ) -> Page[DeliveryRead]:
        """Newest first. Raises WebhookNotFound."""
        before: Any = decode_cursor(cursor, int)
        async with self._db.connection() as connection:
            await _require(connection, principal, endpoint_id)
            rows = await delivery_queries.list_deliveries(connection, endpoint_id, status, before[0] if before else None, limit + 1)
        return page_of(rows, limit, DeliveryRead.of, lambda row: (row["ordinal"],))

    async def test_endpoint(self, principal: Principal, endpoint_id: str) -> TestRead:
        """Send a test event at once and once, and say what was answered. Raises WebhookNotFound."""
        async with self._db.transaction() as connection:
            due = _test(await _require(connection, principal, endpoint_id), await queries.find_secrets(connection, endpoint_id))
            await delivery_queries.insert_test(connection, due, LEASE)
        outcome = await self._send(due)
        async with self._db.transaction() as connection:
            await settle(connection, due, outcome, once=True)
        return TestRead(
            delivery_id=due.id,
            event_id=due.event_id,
            delivered=outcome.delivered,
            status=outcome.status,
            answer=outcome.answer,
            error=outcome.error,
        )

    async def replay(self, principal: Principal, endpoint_id: str, body: Replay) -> int:
        """Have deliveries sent again under the same ids; how many. Raises WebhookNotFound, WebhookDisabled, WebhookDeliveryNotFound."""
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, endpoint_id, lock=True)
            if not row["enabled"]:
                raise WebhookDisabled(f"The endpoint is disabled: {row['disabled_reason']}.", hint="PATCH it with enabled: true first.")
            replayed = await _replay(connection, endpoint_id, body)
            await _note(connection, principal, "webhook.replayed", row, replayed=replayed)
        return replayed


async def _replay(connection: Connection, endpoint_id: str, body: Replay) -> int:
    if body.since is not None:
        return await delivery_queries.replay_since(
            connection, endpoint_id, body.since, delivered=body.include_delivered, most=MOST_REPLAYED, but=TEST
        )
    assert body.delivery_id is not None
    if not await delivery_queries.has_delivery(connection, endpoint_id, body.delivery_id):
        raise WebhookDeliveryNotFound(
            f"The endpoint has no delivery {body.delivery_id!r}.", hint=f"GET /v2/webhooks/{endpoint_id}/deliveries lists them."
        )
    return await delivery_queries.replay_one(connection, endpoint_id, body.delivery_id)


def _test(row: Record, encrypted_secrets: tuple[str, ...]) -> Due:
    payload = {"type": TEST, "timestamp": rfc3339(datetime.now(UTC)), "data": {"id": row["id"]}}
    return Due(
        id=new_id("dlv"),
        whom=row["id"],
        tenant_id=row["tenant_id"],
        event_id=new_id("evt"),
        event_type=TEST,
        subject_id=row["id"],
        payload=json.dumps(payload),
        attempts=1,
        url=row["url"],
        encrypted_secrets=encrypted_secrets,
    )


async def _require(connection: Connection, principal: Principal, endpoint_id: str, *, lock: bool = False) -> Record:
    row = await queries.find_endpoint(connection, endpoint_id, principal.visible_tenant, lock=lock)
    if row is None:
        raise _not_found(endpoint_id)
    return row


def _not_found(endpoint_id: str) -> WebhookNotFound:
    return WebhookNotFound(f"There is no webhook endpoint {endpoint_id!r}.", hint="GET /v2/webhooks lists them.")


async def _note(connection: Connection, principal: Principal, action: str, row: Record, **detail: Any) -> None:
    """Of the URL only where it leads: what follows may be as good as a password."""
    url: str = row["url"]
    said: dict[str, Any] = {"host": urlsplit(url).hostname, "event_types": list(row["event_types"]), "enabled": row["enabled"], **detail}
    await record(connection, principal, action, "webhook", row["id"], said, tenant=row["tenant_id"])
