"""A real server over the small slice: `python -m tests.api.edge_process DSN DATA_DIR SETTINGS_AS_JSON`; prints its address."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.api.edge_scene import SmallGateway, make_app

from pointsman.api.server import run, serve
from pointsman.kit import log
from pointsman.kit.db import Database
from pointsman.settings import Settings


async def main() -> None:
    dsn, data_dir, overrides = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    log.configure(level="info")
    settings = Settings.model_validate({"data_dir": data_dir, "port": 0, **overrides})
    db = await Database.connect(dsn, pool_size=5)
    try:
        gateway = SmallGateway(settings, db)
        await serve(make_app(gateway), settings, gateway.draining, lambda url: print(url, flush=True))
        print(json.dumps({"made": len(gateway.notes.made), "tasks": len(asyncio.all_tasks())}), flush=True)
    finally:
        await db.close()


if __name__ == "__main__":
    run(main())
