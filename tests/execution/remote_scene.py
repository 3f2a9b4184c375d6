"""The remote agent API in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pointsman.kit.egress import Trusted


@dataclass
class Remote:
    """Where it is, and what it was asked."""

    url: str
    client: Trusted

    async def log(self) -> list[dict[str, Any]]:
        answer = await self.client.request("GET", f"{self.url}/log", timeout=timedelta(seconds=10))
        return json.loads(answer.body)

    async def asked(self, method: str, end: str = "") -> list[dict[str, Any]]:
        return [one for one in await self.log() if one["method"] == method and one["path"].endswith(end)]


@asynccontextmanager
async def remote_agents() -> AsyncGenerator[Remote]:
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.fakes.agent_api", cwd=root, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    client = Trusted()
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield Remote(f"http://127.0.0.1:{port}", client)
    finally:
        await client.aclose()
        process.kill()
        await process.wait()
