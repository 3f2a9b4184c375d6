"""The operator's channels: an approval that is asked for is told over each by Apprise, which is loaded only where there are some."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.webhooks.delivery_queries import list_channels, sync_channels
from pointsman.webhooks.errors import NotifyUnusable
from pointsman.webhooks.pace import ATTEMPT_WITHIN
from pointsman.webhooks.rows import Due, Outcome

_PURPOSE = "notify channels"
_THREADS = 8
_LONGEST = 600


class Links(NamedTuple):
    """Where a person decides without a key, where the operator has enabled that."""

    approve: str
    deny: str


class Standing(NamedTuple):
    """Whether an approval still waits, and links to decide it."""

    is_pending: bool
    links: Links | None


Look = Callable[[str], Awaitable[Standing]]


class Channels:
    """Sends over the channels of the settings; without any it does nothing. Close it with `aclose`."""

    def __init__(self, urls: Sequence[str], keyring: KeyRing, look: Look) -> None:
        """`look` says how an approval stands. Raises NotifyUnusable."""
        self._names = [tuple(_name(key, url) for key in keyring.derive(_PURPOSE)) for url in urls]
        self._senders = load(urls)
        self._look = look
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        self._by_id: dict[str, Any] = {}

    @property
    def ids(self) -> list[str]:
        """Of those that have been made known."""
        return list(self._by_id)

    async def open(self, db: Database) -> None:
        """Make them known, and forget those that stand in no setting any more. Raises Unavailable."""
        async with db.transaction() as connection:
            known = await list_channels(connection)
            # A channel that has a name by an older key of the ring keeps it, with what waits for it.
            ids = [next((name for name in names if name in known), names[0]) for names in self._names]
            await sync_channels(connection, ids)
        self._by_id = dict(zip(ids, self._senders, strict=True))

    async def send(self, due: Due) -> Outcome:
        """What came of it; an approval that is decided meanwhile is not told any more."""
        standing = await self._look(due.subject_id)
        if not standing.is_pending:
            return Outcome(delivered=False, pointless=True, error="It was decided before it could be told.")
        title, body = wording(json.loads(due.payload)["data"], standing.links)
        sender = self._by_id[due.whom]
        work = asyncio.get_running_loop().run_in_executor(self._threads, lambda: sender.notify(title=title, body=body))
        try:
            async with asyncio.timeout(ATTEMPT_WITHIN.total_seconds()):
                sent = await asyncio.shield(work)
        except TimeoutError:
            return Outcome(delivered=False, error=f"The channel took longer than {ATTEMPT_WITHIN.total_seconds():g} s.")
        return Outcome(delivered=True) if sent else Outcome(delivered=False, error="The channel did not take it.")

    def close(self) -> None:
        """Wait for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def load(urls: Sequence[str]) -> list[Any]:
    """A sender for each URL. Raises NotifyUnusable."""
    if not urls:
        return []
    try:
        apprise: Any = importlib.import_module("apprise")
    except ImportError:
        raise NotifyUnusable(
            "POINTSMAN_NOTIFY__URLS is set, and Apprise is not installed.", hint="pip install 'pointsman[notify]', or unset it."
        ) from None
    senders = [apprise.Apprise.instantiate(url, suppress_exceptions=True) for url in urls]
    wrong = [str(number) for number, sender in enumerate(senders, 1) if sender is None]
    if wrong:
        raise NotifyUnusable(
            f"Apprise does not understand entry {', '.join(wrong)} of POINTSMAN_NOTIFY__URLS.",
            hint="Try it by hand: apprise -b test '<URL>'.",
        )
    return senders


def wording(approval: dict[str, Any], links: Links | None) -> tuple[str, str]:
    """Title and text for a person."""
    shown = json.dumps(approval["tool_args"], ensure_ascii=False)
    lines = [
        f"{approval['tool_name']} {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '…'}",
        f"Why: {approval['reason']}",
        f"Risk: {approval['risk_level']}. It counts as denied at {approval['expires_at']}.",
        f"Approval {approval['id']}" + (f" of job {approval['job_id']}" if approval["job_id"] else f" of run {approval['run_id']}"),
    ]
    if links is not None:
        lines += [f"Approve: {links.approve}", f"Deny: {links.deny}"]
    return f"Approval needed: {approval['tool_name']}", "\n".join(lines)


def _name(key: bytes, url: str) -> str:
    return f"chn_{hmac.new(key, url.encode(), hashlib.sha256).hexdigest()[:32]}"
