"""One attempt: an endpoint's delivery is signed and posted through the checked way out, and what came of it is an outcome."""

from __future__ import annotations

import time
from datetime import timedelta

from pointsman.kit.crypto import KeyRing, SecretUnreadable
from pointsman.kit.egress import Answer, Egress, EgressFailed, EgressRefused, EgressTimeout
from pointsman.kit.signing import signature_headers
from pointsman.webhooks.pace import ATTEMPT_WITHIN
from pointsman.webhooks.rows import Due, Outcome
from pointsman.webhooks.secrets import unseal

_KEPT = 1000
_GONE = 410


class Sender:
    """Talks to endpoints. Its way out is its own, so that those that are slow hold up nobody else's requests."""

    def __init__(self, egress: Egress, keyring: KeyRing, within: timedelta = ATTEMPT_WITHIN) -> None:
        """`within` is the longest attempt."""
        self._egress = egress
        self._keyring = keyring
        self._within = within

    async def send(self, due: Due) -> Outcome:
        """What came of it; whatever the receiver does is an outcome, not an error."""
        try:
            secrets = unseal(self._keyring, due.whom, due.encrypted_secrets)
        except SecretUnreadable as problem:
            return Outcome(delivered=False, error=f"{problem.title}: rotate the endpoint's secret.")
        body = due.payload.encode("utf-8", "replace")
        headers = {"Content-Type": "application/json", **signature_headers(secrets, due.event_id, int(time.time()), body)}
        try:
            answer = await self._egress.post(due.url, body=body, headers=headers, timeout=self._within, keep=_KEPT)
        except (EgressRefused, EgressFailed, EgressTimeout) as problem:
            return Outcome(delivered=False, error=problem.detail)
        return _outcome(answer)


def _outcome(answer: Answer) -> Outcome:
    said = answer.body.decode("utf-8", "replace").replace("\x00", "")
    if 200 <= answer.status < 300:
        return Outcome(delivered=True, status=answer.status, answer=said)
    return Outcome(
        delivered=False,
        status=answer.status,
        error=f"The endpoint answered with status {answer.status}.",
        answer=said,
        gone=answer.status == _GONE,
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _retry_after(header: str) -> timedelta:
    """Seconds, as nearly everybody writes it; a date is not waited for."""
    return timedelta(seconds=int(header)) if header.isascii() and header.isdecimal() and len(header) <= 6 else timedelta()
