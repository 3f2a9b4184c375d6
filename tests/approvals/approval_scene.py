"""A tenant in which one key asks and another decides, and agents that want to remember something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, unique

ASKS = {"permissions": {"ask": ["memory(remember *)"]}}


def remember(fact: str, call_id: str = "c1") -> dict[str, Any]:
    return {"name": "memory", "args": {"action": "remember", "content": fact}, "id": call_id}


@dataclass
class Office:
    """A tenant: `worker` runs agents, `boss` decides."""

    scene: Scene
    operator: Caller
    tenant: str
    worker: Caller
    boss: Caller

    async def agent(self, *calls: dict[str, Any], worker_config: dict[str, Any] = ASKS, end: str = "Done.", **config: Any) -> str:
        """One whose model makes these calls in its first answer, then ends."""
        script = {"turns": [{"text": "One moment. ", "tool_calls": list(calls)}, {"text": end}]}
        return await self.operator.agent(model="scripted:play", script=script, worker_config=worker_config, **config)

    async def paused(self, agent: str, **body: Any) -> dict[str, Any]:
        """A turn's answer, which must be that it waits."""
        answer = await self.worker.chat(agent, "Please.", user_id="ann", **body)
        assert answer["status"] == "paused", answer
        return answer

    async def asked(self, fact: str = "Ann likes tea.", **body: Any) -> dict[str, Any]:
        """The approval that a new run asks for."""
        (approval,) = (await self.paused(await self.agent(remember(fact)), **body))["approvals"]
        return await self.boss.get(f"/v2/approvals/{approval['id']}")

    async def facts(self) -> list[str]:
        """What is remembered about Ann in this tenant."""
        rows = await self.scene.fetch("SELECT content FROM memories WHERE tenant_id = $1 ORDER BY content", self.tenant)
        return [row["content"] for row in rows]

    async def ended(self, run_id: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            return await self.worker.ended(run_id)

    async def heard(self, run_id: str) -> list[str]:
        """What the model was told by its tools."""
        rows = await self.scene.fetch(
            "SELECT content::text AS c FROM messages WHERE run_id = $1 AND role = 'tool' ORDER BY position", run_id
        )
        return [part["content"] for row in rows for part in json.loads(row["c"])["parts"]]

    async def audited(self, approval_id: str) -> list[tuple[str, str, dict[str, Any]]]:
        rows = await self.scene.fetch(
            "SELECT action, actor, detail::text AS d FROM audit_log WHERE object_id = $1 ORDER BY id", approval_id
        )
        return [(row["action"], row["actor"], json.loads(row["d"])) for row in rows]


@asynccontextmanager
async def opened_office(scene: Scene, operator: Caller) -> AsyncGenerator[Office]:
    tenant = unique("office")

    async def key(name: str, *scopes: str) -> Caller:
        made = await operator.post("/v2/keys", {"name": name, "owner_id": tenant, "scopes": list(scopes)})
        return Caller(scene.url, made["api_key"])

    worker = await key("worker", "agents:run", "runs:read", "runs:write", "approvals:read", "approvals:decide", "keys:write")
    boss = await key("boss", "approvals:read", "approvals:decide", "runs:read", "runs:write")
    try:
        yield Office(scene, operator, tenant, worker, boss)
    finally:
        await worker.aclose()
        await boss.aclose()
