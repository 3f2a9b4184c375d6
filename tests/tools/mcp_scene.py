"""What tests of MCP servers talk about: a server, a gateway, and agents that call tools as they are told."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.calling import Caller, unique

from pointsman.kit.db import Record, connect

_NOT_STARTED: Any = None


@dataclass
class Server:
    """A server over HTTP on loopback."""

    port: int
    log: Path
    process: subprocess.Popen[bytes] = field(default=_NOT_STARTED)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def done(self) -> list[str]:
        """What its tools really did."""
        return self.log.read_text().splitlines()

    def since(self, before: int) -> list[str]:
        """What they did after so many lines."""
        return self.done[before:]

    def describe(self, flavour: str) -> None:
        """Have it offer `add` as it is `changed`, or as `usual`, without a word to those who listen."""
        httpx.post(f"http://127.0.0.1:{self.port}/describe/{flavour}").raise_for_status()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class McpScene:
    """A gateway; `sandboxes` is where its programs run."""

    dsn: str
    url: str
    admin: str
    sandboxes: Path

    async def fetch(self, query: str, *values: object) -> list[Record]:
        connection = await connect(self.dsn, role=None)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def audited(self, server_id: str) -> list[str]:
        rows = await self.fetch("SELECT action FROM audit_log WHERE object_type = 'mcp_server' AND object_id = $1 ORDER BY id", server_id)
        return [row["action"] for row in rows]


def environment_of_python() -> tuple[str, list[str]]:
    """Where this Python finds its libraries, and the folders that it has to see for that."""
    packages = sysconfig.get_paths()["purelib"]
    return packages, list(dict.fromkeys([sys.prefix, sys.base_prefix]))


async def registered(caller: Caller, url: str, **body: Any) -> str:
    """A server of its own id, of which nothing is approved."""
    return (await caller.post("/v2/mcp-servers", {"id": unique("srv"), "url": url, **body}))["id"]


async def approved(caller: Caller, url: str, **body: Any) -> str:
    """A server with all that it offers approved."""
    server_id = await registered(caller, url, **body)
    await approve(caller, server_id)
    return server_id


async def approve(caller: Caller, server_id: str, **inspection: Any) -> dict[str, Any]:
    """Look, and approve what is seen; the server as it is then."""
    seen = await caller.post(f"/v2/mcp-servers/{server_id}/inspect", inspection)
    if seen["proposal"] is None:
        return seen
    return await caller.post(f"/v2/mcp-servers/{server_id}/approve", {"sha256": seen["proposal"]["sha256"]})


def call(server_id: str, tool: str, call_id: str = "c1", /, **args: Any) -> dict[str, Any]:
    return {"name": f"{server_id}__{tool}", "args": args, "id": call_id}


async def agent_with(caller: Caller, server_id: str, *answers: list[dict[str, Any]], tools: list[str] | None = None, **config: Any) -> str:
    """An agent that makes these calls, one answer after the other, and ends."""
    turns = [*({"tool_calls": calls} for calls in answers), {"text": "Done."}]
    listed = {"type": "mcp", "name": server_id} | ({"tools": tools} if tools else {})
    return await caller.agent(model="scripted:play", script={"turns": turns}, tools=[listed], **config)


async def said(caller: Caller, server_id: str, *calls: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
    """A turn in which the model makes these calls one after the other: what each came to."""
    agent = await agent_with(caller, server_id, *([made] for made in calls))
    answer = await caller.chat(agent, "Please.", **body)
    assert (answer["status"], answer["content"]) == ("completed", "Done.")
    return [event.data for event in await caller.replay(answer["run_id"]) if event.name == "tool.completed"]
