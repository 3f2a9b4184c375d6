"""A replica reduced to its door: authenticates keys and counts their requests, as JSON lines order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pointsman.access.authenticate import Authenticator
from pointsman.access.limits import HourlyLimit
from pointsman.access.service import KeyService
from pointsman.kit.db import Database
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Problem


class Door:
    def __init__(self, db: Database, listener: Listener | None) -> None:
        self._db = db
        self._authenticator = Authenticator(db, listener)
        self._limit = HourlyLimit(db)

    async def obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "call":
                await asyncio.gather(*(self._call(order["key"], order["within"]) for _ in range(order["times"])))
            case "watch":
                await self._watch(order["key"])
            case "bootstrap":
                first = await KeyService(self._db).bootstrap_admin(Path(order["path"]), rotate=order["rotate"])
                say(first.api_key or "nothing")
            case unknown:
                raise ValueError(unknown)
        say("done")

    async def _call(self, api_key: str, within: float) -> None:
        await asyncio.sleep(random.random() * within)
        try:
            key = await self._authenticator.authenticate(api_key)
            await self._limit.admit(key)
        except Problem as problem:
            say(problem.code)
        else:
            say("passed")

    async def _watch(self, api_key: str) -> None:
        """Present the key over and over until it is refused, and say when."""
        await self._authenticator.authenticate(api_key)
        say("accepted")
        with suppress(Problem):
            while True:
                await self._authenticator.authenticate(api_key)
                await asyncio.sleep(0.005)
        say(time.monotonic())


def say(what: Any) -> None:
    # One write for each line, at once: what a killed process had already let in must have been heard.
    os.write(1, json.dumps(what).encode() + b"\n")


async def main() -> None:
    dsn = os.environ["REPLICA_DSN"]
    db = await Database.connect(dsn, pool_size=5)
    listener = Listener(dsn) if sys.argv[1] == "listening" else None
    door = Door(db, listener)
    listening = asyncio.create_task(listener.run()) if listener else None
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        await door.obey(json.loads(line))
    if listening:
        listening.cancel()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main())
