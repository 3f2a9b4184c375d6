"""The maintenance loop of approvals: what is over is written, whichever replica is first."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from pointsman.approvals.service import settle_over
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable

_PAUSE = timedelta(seconds=2)
_MOST = 50


async def expire(db: Database, stop: asyncio.Event, pause: timedelta = _PAUSE) -> None:
    """Look every `pause` until `stop` is set; a database that is away is waited for."""
    while not stop.is_set():
        settled = 0
        with suppress(Unavailable):
            settled = await settle_over(db, _MOST)
        if settled < _MOST:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause.total_seconds())
