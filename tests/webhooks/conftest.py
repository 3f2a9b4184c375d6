"""Webhooks on a database, with a receiver on loopback that the operator allowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from tests.sessions.session_scene import Talk, principal, talking
from tests.webhooks.receiver import Receiver, receiving

from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.webhooks.delivering import Deliverer
from pointsman.webhooks.notifying import Channels, Links, Standing
from pointsman.webhooks.schemas import WebhookCreate, WebhookIssued
from pointsman.webhooks.sending import Sender
from pointsman.webhooks.service import WebhookService

LINKS = Links("https://pm.example/approve", "https://pm.example/deny")
ACME = principal(owner="acme")


@dataclass
class Post:
    """Endpoints of the tenant acme, and whoever delivers to them."""

    db: Database
    owner: Connection
    talk: Talk
    keyring: KeyRing
    service: WebhookService
    sender: Sender
    receiver: Receiver
    pending: bool = True

    async def endpoint(self, *event_types: str, url: str | None = None) -> WebhookIssued:
        body = {"url": url or self.receiver.url} | ({"event_types": list(event_types)} if event_types else {})
        return await self.service.create_endpoint(ACME, WebhookCreate.model_validate(body))

    def channels(self, urls: Sequence[str] = ()) -> Channels:
        async def look(approval_id: str) -> Standing:
            assert approval_id.startswith("apr_")
            return Standing(self.pending, LINKS)

        return Channels(urls, self.keyring, look)

    async def deliver(self) -> int:
        """What is due, once, as a replica that has just started does it."""
        channels = self.channels()
        try:
            return await Deliverer(self.db, self.sender.send, channels).run_once()
        finally:
            channels.close()

    async def end_run(self, *, tenant: str = "acme", session: str = "s") -> str:
        run = await self.talk.open(session, tenant=tenant, user="ann")
        await self.talk.end(run, session, tenant=tenant)
        return run

    async def ask(self, *, tenant: str = "acme") -> str:
        """An approval, asked for by a run."""
        run = await self.talk.open("asking", tenant=tenant, user="ann")
        statement = """
        INSERT INTO approvals (id, tenant_id, user_id, run_id, step, call_id, tool_name, tool_args, args_sha256, rules, risk_level, reason,
                               expires_at)
        VALUES ('apr_1', $1, 'ann', $2, 1, 'c', 'deploy', $3::text::json, 'x', '{}', 'high', 'ask: deploy', now() + interval '1 hour')
        """
        await self.owner.execute(statement, tenant, run, '{"to": "production", "odd": "\\u0000\\ud83d"}')
        return "apr_1"

    async def hurry(self) -> None:
        """Let the time have come for whatever waits."""
        await self.owner.execute("UPDATE webhook_deliveries SET next_at = clock_timestamp() WHERE status = 'pending'")

    async def states(self) -> list[tuple[str, int, int | None]]:
        rows = await self.owner.fetch("SELECT status, attempts, last_status FROM webhook_deliveries ORDER BY ordinal")
        return [(row["status"], row["attempts"], row["last_status"]) for row in rows]


@pytest.fixture
async def post(db: Database, owner: Connection) -> AsyncGenerator[Post]:
    async with receiving() as receiver, talking(db) as talk, posting(db, owner, talk, receiver, "127.0.0.1") as post:
        yield post


@asynccontextmanager
async def posting(db: Database, owner: Connection, talk: Talk, receiver: Receiver, *allow: str) -> AsyncGenerator[Post]:
    keyring, egress = KeyRing([Fernet.generate_key().decode()]), Egress(allow)
    sender = Sender(egress, keyring, within=timedelta(seconds=2))
    try:
        yield Post(db, owner, talk, keyring, WebhookService(db, keyring, egress, sender.send), sender, receiver)
    finally:
        await egress.aclose()
