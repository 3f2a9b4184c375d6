"""Objects that nobody refers to: each is noted before it is written or let go of, so that none is ever forgotten, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.knowledge import queries
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.points import CLEARING
from pointsman.knowledge.storing_errors import ObjectMissing, StoreFailed

_LOOK = 5.0
_MOST = 100

log = structlog.get_logger()


class Clearing:
    """Removes leftovers that are due, beside any number of other replicas."""

    def __init__(self, db: Database, objects: Objects) -> None:
        self._db = db
        self._objects = objects

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                while await self.run_once() == _MOST:
                    pass
            await asyncio.sleep(_LOOK)

    async def run_once(self) -> int:
        """Remove what is due; how many were. Raises Unavailable."""
        async with self._db.connection() as connection:
            uris = await queries.list_leftovers(connection, _MOST)
        await remove(self._db, self._objects, uris)
        return len(uris)


async def remove(db: Database, objects: Objects, uris: Sequence[str]) -> None:
    """Remove objects, then the notes of them; what the store refuses is noted still, and tried again by the loop."""
    if not uris:
        return
    await CLEARING.reach("before")
    gone: list[str] = []
    for uri in uris:
        try:
            await objects.delete(uri)
        except ObjectMissing:
            gone.append(uri)  # it lies in a store that was the gateway's once: nobody here can remove it
            log.warning("knowledge.object_elsewhere", uri=uri)
        except StoreFailed as error:
            log.warning("knowledge.object_not_removed", uri=uri, detail=error.detail)
        else:
            gone.append(uri)
    await CLEARING.reach("after")
    async with db.connection() as connection:
        await queries.forget_leftovers(connection, gone)
