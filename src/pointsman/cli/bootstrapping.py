"""Makes the first admin key without a gateway, on the database itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pointsman.access.first_key import FirstKey, bootstrap_admin
from pointsman.cli.configuration import read_settings
from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.cli.logs import quiet_logs
from pointsman.cli.output import say
from pointsman.cli.schema import require_migrated
from pointsman.cli.storage import Storage
from pointsman.kit.db import Database


def bootstrap(data_dir: Path | None, out: Path | None, *, rotate: bool) -> None:
    """Leave an admin key in `out`, else in the data directory's file; say what was done."""
    quiet_logs()
    settings = read_settings(data_dir=data_dir)
    path = out or settings.data_dir / ADMIN_KEY_FILE
    with Storage(settings, make=False) as storage:
        made = asyncio.run(_bootstrap(storage.dsn(), path, rotate=rotate))
    if made.made:
        say(f"the admin key is in {path}, readable by you alone")
    else:
        say("there is a working admin key already, which is kept; --rotate replaces the one made here before")


async def _bootstrap(dsn: str, path: Path, *, rotate: bool) -> FirstKey:
    await require_migrated(dsn)
    db = await Database.connect(dsn, pool_size=2)
    try:
        return await bootstrap_admin(db, path, rotate=rotate)
    finally:
        await db.close()
