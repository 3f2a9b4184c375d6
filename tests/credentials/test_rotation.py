"""The ring's newest key takes over while everything runs, however often that is interrupted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest
from cryptography.fernet import Fernet
from tests.credentials.oauth_scene import service_of
from tests.credentials.token_scene import api_key, caller

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.rotation import Counted, count, rotate, sealed_columns
from pointsman.credentials.service import TokenService
from pointsman.kit.crypto import KeyRing, SecretUnreadable
from pointsman.kit.db import Connection, Database

ACME = caller("acme")
TOKENS = 300
ROTATE = """
import asyncio, os
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.credentials.rotation import rotate
async def main():
    db = await Database.connect(os.environ["DSN"], pool_size=2)
    print("ready", flush=True)
    await rotate(db, KeyRing(os.environ["RING"].split()), lambda *told: None)
    await db.close()
asyncio.run(main())
"""


async def test_killed_at_random_points_every_secret_decrypts_at_every_instant(db: Database, owner: Connection, dsn: str) -> None:
    keys = [Fernet.generate_key().decode()]
    await _furnish(db, owner, KeyRing(keys))
    chance = random.Random(5)
    for _ in range(int(os.environ.get("POINTSMAN_TEST_KILLS", "4"))):
        keys = [Fernet.generate_key().decode(), *keys]
        process = subprocess.Popen(
            [sys.executable, "-c", ROTATE], env={**os.environ, "DSN": dsn, "RING": " ".join(keys)}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.random() * 0.15)
        process.kill()
        process.communicate()
        await _all_readable(db, KeyRing(keys))
    ring = KeyRing(keys)
    await rotate(db, ring, lambda *_: None)
    await _all_readable(db, KeyRing(keys[:1]))
    assert {seen.older for seen in (await count(db, ring)).values()} == {0}


async def test_what_is_written_meanwhile_is_kept_and_brought_under_the_newest_key_too(
    db: Database, tokens: TokenService, ring: KeyRing
) -> None:
    await tokens.put_token(ACME, "ann", "k", api_key("first"))
    newer = KeyRing([Fernet.generate_key().decode(), *_keys(ring)])
    seen: list[Counted] = []
    await rotate(db, newer, lambda _, counted: seen.append(counted))
    assert sum(counted.rotated for counted in seen) == 1
    await tokens.put_token(ACME, "ann", "k", api_key("second"))  # by a replica that has not got the newest key as its first
    assert await rotate(db, newer, lambda *_: None) == 1
    assert (await rings(db, newer).reveal_token(ACME, "ann", "k")).token_data == {"api_key": "second"}


async def test_a_secret_of_a_lost_key_stops_the_rotation_and_is_left_alone(db: Database, tokens: TokenService, owner: Connection) -> None:
    await tokens.put_token(ACME, "ann", "k", api_key())
    before = await owner.fetchval("SELECT encrypted_token_data FROM user_tokens")
    with pytest.raises(SecretUnreadable):
        await rotate(db, KeyRing([Fernet.generate_key().decode()]), lambda *_: None)
    assert await owner.fetchval("SELECT encrypted_token_data FROM user_tokens") == before


async def test_every_column_of_ciphertexts_is_known(owner: Connection) -> None:
    names = {f"{column.table}.{column.name}" for column in await sealed_columns(owner)}
    assert {"public.user_tokens.encrypted_token_data", "public.idempotency_keys.answer", "public.key_canary.token"} <= names


def rings(db: Database, ring: KeyRing) -> TokenService:
    return service_of(db, ring, ProviderApi(), Providers({}))


def _keys(ring: KeyRing) -> tuple[str, ...]:
    return ring._keys  # a ring tells its keys to nobody, and this test needs another with them


async def _furnish(db: Database, owner: Connection, ring: KeyRing) -> None:
    service = rings(db, ring)
    for number in range(TOKENS):
        await service.put_token(ACME, "ann", f"k{number}", api_key(f"secret{number}"))
    await owner.execute("INSERT INTO key_canary (id, token) VALUES (1, $1)", ring.canary())


async def _all_readable(db: Database, ring: KeyRing) -> None:
    page = await rings(db, ring).list_tokens(ACME, "ann", limit=TOKENS, cursor=None)
    assert len(page.items) == TOKENS
    for number in random.Random(7).sample(range(TOKENS), 60):
        revealed = await rings(db, ring).reveal_token(ACME, "ann", f"k{number}")
        assert revealed.token_data == {"api_key": f"secret{number}"}
    async with db.connection() as connection:
        ring.verify_canary(await connection.fetchval("SELECT token FROM key_canary"))
