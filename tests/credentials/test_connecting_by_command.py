"""The command line prints the address for a user's browser, and waits until a real gateway says what came of it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.credentials.connect_scene import ISSUER, Browser
from tests.credentials.oauth_scene import listening
from tests.e2e.gateways import admin_key, start_gateway
from tests.fakes.upstream import Upstream

from pointsman.kit.db import Connection


async def test_the_command_waits_until_the_user_has_consented_or_said_no(dsn: str, owner: Connection, tmp_path: Path) -> None:
    port = _free_port()
    public = f"http://127.0.0.1:{port}"
    async with listening("consent_provider.py") as provider:
        variables = {
            "POINTSMAN_PORT": str(port),
            "POINTSMAN_PUBLIC_URL": public,
            "POINTSMAN_OAUTH__FAKE__CLIENT_ID": "me",
            "POINTSMAN_OAUTH__FAKE__CLIENT_SECRET": "client-hush",
            "POINTSMAN_OAUTH__FAKE__TOKEN_URL": f"{provider}/token",
            "POINTSMAN_OAUTH__FAKE__AUTHORIZE_URL": f"{provider}/authorize",
            "POINTSMAN_OAUTH__FAKE__ISSUER": ISSUER,
        }
        gateway = await asyncio.to_thread(start_gateway, dsn, tmp_path, Upstream(9, 0), **variables)
        try:
            key, browser = await admin_key(dsn, tmp_path), Browser()
            done, said, told = await _connected(public, key, browser, "--as", "calendar")
            assert (done, "connected fake for ann as calendar" in told) == (0, True), told
            assert said.startswith(f"{public}/v2/connect/")
            assert await owner.fetchval("SELECT scopes FROM user_tokens WHERE user_id = 'ann' AND integration_key = 'calendar'") == []
            done, _, told = await _connected(public, key, browser, "--scope", "deny")
            assert (done != 0, "the user said no" in told) == (True, True), told
            await browser.http.aclose()
        finally:
            gateway.stop()


async def _connected(url: str, key: str, browser: Browser, *options: str) -> tuple[int | None, str, str]:
    """The command's end, and what it said on both streams, after the browser went where it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pointsman", "tokens", "connect", "fake", "--user", "ann", *options),
        env={**os.environ, "POINTSMAN_URL": url, "POINTSMAN_API_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        address = (await process.stdout.readline()).decode().strip()
        if address:
            await browser.consent(address)
        rest, told = await process.communicate()
    return process.returncode, address + rest.decode(), told.decode()


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]
