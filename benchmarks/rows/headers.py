"""Headers of tools: what it costs to fill one with a user's credential."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from benchmarks.results import OURS, Row, Values
from benchmarks.stage import Stage
from benchmarks.workshop import percentile
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.schemas import TokenPut
from pointsman.credentials.service import TokenService
from pointsman.credentials.use_log import UseLog
from pointsman.credentials.using import CredentialUse, RunUser
from pointsman.kit import log
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.kit.principal import Principal
from pointsman.migrations import migrate
from pointsman.tools.references import References

_CALLER = Principal(key_id=1, key_name="bench", owner_id="acme", scopes=frozenset({"admin"}), tenant="acme")
_USER = RunUser("acme", "ann", "run_bench")
_HEADERS = {"Authorization": "Bearer ${token:crm}", "X-Client": "bench"}


def cached(stage: Stage) -> Row:
    """A header filled from the cache, logged and put on record, beside one whose credential is read and decrypted each time."""
    row = Row("credential-cached", "a header filled with a user's credential, each use logged and on record")
    row.sides = asyncio.run(_measured(stage.folder / row.name, stage.options.requests))
    row.mark("p50 ms", "p50_ms", "<=", 1.0)
    row.mark("p99 ms", "p99_ms", "<=", 1.0)
    return row


async def _measured(folder: Path, requests: int) -> dict[str, Values]:
    async with _filling(folder) as (use, references):
        await references.fill(_HEADERS, _USER, "crm__find")
        return {
            OURS: await _times(references, requests),
            "read each time": await _times(references, requests // 10, before=lambda: use.forget(None)),
        }


async def _times(references: References, count: int, before: Callable[[], None] = lambda: None) -> Values:
    times: list[float] = []
    for _ in range(count):
        before()
        began = time.perf_counter()
        await references.fill(_HEADERS, _USER, "crm__find")
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0)  # whatever stores the record has its turn
    return {"p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99)}


@asynccontextmanager
async def _filling(folder: Path) -> AsyncGenerator[tuple[CredentialUse, References]]:
    """A database of its own with one token, and what fills headers with it."""
    server = EmbeddedPostgres(folder)
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate(dsn)
        db, api = await Database.connect(dsn, pool_size=4), ProviderApi()
        ring, providers, uses = KeyRing([Fernet.generate_key().decode()]), Providers({}), UseLog(db)
        refresher = Refresher(db, ring, providers, api)
        token = TokenPut(provider="crm", token_type="api_key", token_data={"api_key": "a-secret-of-usual-length"})
        await TokenService(db, ring, providers, api, refresher).put_token(_CALLER, "ann", "crm", token)
        use = CredentialUse(refresher, ring, providers, None, uses.note)
        with (folder / "bench.log").open("w") as written:
            log.configure(stream=written)
            storing = asyncio.create_task(uses.run())
            try:
                yield use, References(use, {})
            finally:
                storing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await storing
                await api.aclose()
                await db.close()
                log.configure(format="console")  # what follows is logged elsewhere
    finally:
        await asyncio.to_thread(server.stop)
