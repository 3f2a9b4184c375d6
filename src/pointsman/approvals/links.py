"""Links by which a person decides without a key: signed over the approval, what was shown, the one decision they allow, and an end."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from pointsman.approvals.errors import ApprovalLinkInvalid
from pointsman.approvals.rows import Approval
from pointsman.approvals.schemas import Choice

PURPOSE = "approval links"
_FORM_LASTS = timedelta(minutes=15)


class Link(NamedTuple):
    """What a link says; `expires` is in seconds since 1970."""

    approval_id: str
    choice: Choice
    expires: int
    signature: str


class Signer:
    """Signs with the newest key and accepts all of them, so that a rotated key ring breaks no link that was sent."""

    def __init__(self, keys: Sequence[bytes], base_url: str) -> None:
        """`keys` are derived for this purpose alone, newest first; `base_url` is where people reach the gateway."""
        self._keys = tuple(keys)
        self._base_url = base_url.rstrip("/")

    def url(self, approval: Approval, choice: Choice) -> str:
        """The same for each call: what is sent again is the same link."""
        expires = int(approval.expires_at.timestamp())
        query = {"choice": choice, "expires": expires, "signature": self._sign(self._keys[0], "link", approval, choice, expires)}
        return f"{self._base_url}/v2/approvals/{approval.id}/link?{urlencode(query)}"

    def require_link(self, link: Link, approval: Approval) -> None:
        """Raises ApprovalLinkInvalid unless it was signed for this approval as it was shown, and its time is not over."""
        self._require(link.signature, "link", approval, link.choice, link.expires)

    def form_token(self, link: Link, approval: Approval) -> str:
        """What the page's form sends along: that somebody was shown the arguments a short while ago."""
        until = int(time.time() + _FORM_LASTS.total_seconds())
        return f"{until}.{self._sign(self._keys[0], 'form', approval, link.choice, until)}"

    def require_form(self, token: str, link: Link, approval: Approval) -> None:
        """Raises ApprovalLinkInvalid for one that did not come from the page."""
        until, _, signature = token.partition(".")
        if not until.isdecimal() or len(until) > _LONGEST_MOMENT:
            raise invalid_link()
        self._require(signature, "form", approval, link.choice, int(until))

    def _require(self, signature: str, kind: str, approval: Approval, choice: Choice, until: int) -> None:
        given = signature.encode()
        good = [hmac.compare_digest(given, self._sign(key, kind, approval, choice, until).encode()) for key in self._keys]
        if not any(good) or until < time.time():
            raise invalid_link()

    def _sign(self, key: bytes, kind: str, approval: Approval, choice: Choice, until: int) -> str:
        signed = "\n".join((kind, approval.id, approval.args_sha256, choice, str(until)))
        return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()


_LONGEST_MOMENT = 12


def invalid_link() -> ApprovalLinkInvalid:
    """The same for every link that cannot be used."""
    return ApprovalLinkInvalid(hint="Ask for a new link, or decide with `pointsman approvals`.")
