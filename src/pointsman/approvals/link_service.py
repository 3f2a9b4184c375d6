"""The verbs of links: made for whoever may decide, shown to whoever has one, and decided once."""

from __future__ import annotations

from pointsman.approvals import queries
from pointsman.approvals.deciding import decide, decided, require, require_may_decide
from pointsman.approvals.errors import ApprovalLinkInvalid, ApprovalLinksDisabled
from pointsman.approvals.links import Link, Signer, invalid_link
from pointsman.approvals.rows import Approval, Decision
from pointsman.approvals.schemas import LinksRead
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal


class LinkService:
    """Links, where the operator has enabled them: without a signer every one is refused."""

    def __init__(self, db: Database, signer: Signer | None) -> None:
        self._db = db
        self._signer = signer

    async def make(self, principal: Principal, approval_id: str) -> LinksRead:
        """Links to approve and to deny. Raises ApprovalNotFound, ApprovalOwnRun, ApprovalLinksDisabled, ApprovalDecided."""
        async with self._db.connection() as connection:
            approval = await require(connection, approval_id, principal.visible_tenant)
            await require_may_decide(connection, principal, approval)
        signer = self._signer
        if signer is None:
            raise ApprovalLinksDisabled(hint="An operator sets POINTSMAN_APPROVALS__LINKS_URL.")
        if approval.status != "pending":
            raise decided(approval)
        return LinksRead(approve=signer.url(approval, "approve"), deny=signer.url(approval, "deny"), expires_at=approval.expires_at)

    async def show(self, link: Link) -> tuple[Approval, str | None]:
        """The approval and a form token; None where it is decided. Raises ApprovalLinkInvalid."""
        signer = self._require_signer()
        async with self._db.connection() as connection:
            approval = await _linked(connection, link)
        signer.require_link(link, approval)
        return approval, signer.form_token(link, approval) if approval.status == "pending" else None

    async def decide(self, link: Link, token: str, note: str | None) -> Approval:
        """The approval as decided. Raises ApprovalLinkInvalid, ApprovalDecided."""
        signer = self._require_signer()
        async with self._db.transaction() as connection:
            approval = await _linked(connection, link)
            signer.require_link(link, approval)
            signer.require_form(token, link, approval)
            status = "approved" if link.choice == "approve" else "denied"
            return await decide(connection, approval, Decision(status=status, decided_by="link", way="link", note=note))

    def _require_signer(self) -> Signer:
        if self._signer is None:
            raise ApprovalLinkInvalid("Links are not enabled here.", hint="An operator sets POINTSMAN_APPROVALS__LINKS_URL.")
        return self._signer


async def _linked(connection: Connection, link: Link) -> Approval:
    """A link to nothing looks like one that was changed: nobody learns from it what there is."""
    approval = await queries.find_approval(connection, link.approval_id, None)
    if approval is None:
        raise invalid_link()
    return approval
