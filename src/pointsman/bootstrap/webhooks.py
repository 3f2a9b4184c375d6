"""Wires webhooks and the operator's channels: the verbs, and the loop that delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.approvals.deciding import require
from pointsman.approvals.errors import ApprovalNotFound
from pointsman.approvals.links import Signer
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress
from pointsman.webhooks.delivering import Deliverer
from pointsman.webhooks.notifying import Channels, Links, Look, Standing
from pointsman.webhooks.sending import Sender
from pointsman.webhooks.service import WebhookService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


class Webhooks:
    """What a gateway holds of them. Raises NotifyUnusable when it is made."""

    def __init__(self, gateway: Gateway, signer: Signer | None) -> None:
        settings, db, keyring = gateway.settings, gateway.db, gateway.keyring
        self._db = db
        # Their own way out: receivers that are slow take no connection from chats that fetch attachments.
        self._egress = Egress(settings.egress.allow)
        sender = Sender(self._egress, keyring)
        self._channels = Channels([url.get_secret_value() for url in settings.notify.urls], keyring, looking(db, signer))
        gateway.provide(WebhookService(db, keyring, self._egress, sender.send))
        gateway.loops.add("webhooks", Deliverer(db, sender.send, self._channels).run)

    async def open(self) -> None:
        """Make the channels of the settings known. Raises Unavailable."""
        await self._channels.open(self._db)

    async def aclose(self) -> None:
        """Let go of what it holds."""
        self._channels.close()
        await self._egress.aclose()


def looking(db: Database, signer: Signer | None) -> Look:
    """How an approval stands, with links where they are enabled."""

    async def look(approval_id: str) -> Standing:
        try:
            async with db.connection() as connection:
                approval = await require(connection, approval_id, None)
        except ApprovalNotFound:
            return Standing(is_pending=False, links=None)
        links = None if signer is None else Links(signer.url(approval, "approve"), signer.url(approval, "deny"))
        return Standing(approval.status == "pending", links)

    return look
