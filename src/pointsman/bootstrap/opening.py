"""What every process does before anything else: secrets out of the logs, failpoints armed, the database and its key ring opened."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from pointsman.kit import failpoints
from pointsman.kit import log as logs
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.settings import Settings, SettingsInvalid
from pointsman.web.canary import knows_ring, verify_ring

log = structlog.get_logger()


async def open_storage(settings: Settings, dsn: str) -> tuple[Database, KeyRing]:
    """Connect to a migrated database. Raises Unavailable, KeyRingUnusable or KeyRingWrong."""
    _register_secrets(settings)
    _arm(settings.failpoints)
    database = settings.database
    db = await Database.connect(dsn, pool_size=database.pool_size, statement_timeout=database.statement_timeout)
    try:
        keyring = KeyRing.open(settings.data_dir, settings.keyring.keys, make=not await knows_ring(db))
        await verify_ring(db, keyring)
    except BaseException:
        await db.close()
        raise
    return db, keyring


def _arm(specs: Sequence[str]) -> None:
    """Also where nothing is named: what an earlier gateway of this process armed ends with it."""
    try:
        failpoints.arm(specs)
    except ValueError as error:
        raise SettingsInvalid(f"POINTSMAN_FAILPOINTS: {error}", hint="docs/concepts/reliability.md lists every failpoint.") from None
    if specs:
        log.warning(
            "failpoints.armed", points=list(specs), meaning="this process fails on purpose; unset POINTSMAN_FAILPOINTS in production"
        )


def _register_secrets(settings: Settings) -> None:
    """What must never stand in a log line, wherever it comes from."""
    given = [settings.openai_api_key, settings.anthropic_api_key, settings.google_api_key, *settings.keyring.keys]
    given += settings.notify.urls
    given += [secret for server in settings.mcp.stdio.values() for secret in server.env.values()]
    given += [provider.api_key for provider in settings.providers.values()]
    given += [provider.client_secret for provider in settings.oauth.values()]
    for secret in given:
        if secret is not None:
            logs.register_secret(secret.get_secret_value())
