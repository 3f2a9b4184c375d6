"""Replicas of the token service, in this process or in others, and a provider beside them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Asks, Refresher
from pointsman.credentials.service import TokenService
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.egress import Trusted
from pointsman.settings import OAuthSettings


@dataclass
class FakeProvider:
    """The provider `fake` of the settings."""

    url: str

    def providers(self, *, secret: str = "client-hush") -> Providers:
        section = OAuthSettings(
            client_id="me", client_secret=SecretStr(secret), token_url=f"{self.url}/token", revoke_url=f"{self.url}/revoke"
        )
        return Providers({"fake": section})

    async def seen(self) -> dict[str, Any]:
        http = Trusted()
        try:
            return (await http.request("POST", f"{self.url}/seen", timeout=timedelta(seconds=5))).json()
        finally:
            await http.aclose()


@asynccontextmanager
async def fake_provider(*failures: int) -> AsyncGenerator[FakeProvider]:
    """Start one, which answers with these statuses first."""
    async with listening("oauth_provider.py", *map(str, failures)) as url:
        yield FakeProvider(url)


@asynccontextmanager
async def listening(program: str, *arguments: str) -> AsyncGenerator[str]:
    """A program of this folder that listens on the port which it says; its URL."""
    path = Path(__file__).with_name(program)
    process = await asyncio.create_subprocess_exec(sys.executable, str(path), *arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 30))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


def refresher_of(db: Database, ring: KeyRing, api: Asks, providers: Providers) -> Refresher:
    return Refresher(db, ring, providers, api)


def service_of(db: Database, ring: KeyRing, api: ProviderApi, providers: Providers) -> TokenService:
    return TokenService(db, ring, providers, api, refresher_of(db, ring, api, providers))


async def run_replica(dsn: str, keys: str, provider: FakeProvider, *, calls: int, dies: bool = False) -> list[str]:
    """A replica in a process of its own that needs the token of ann's `k` so many times at once; what each call came to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.credentials.oauth_replica",
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DSN": dsn, "RING": keys, "PROVIDER": provider.url, "CALLS": str(calls), "DIES": str(int(dies))},
        stdout=subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return json.loads(output) if output else []
