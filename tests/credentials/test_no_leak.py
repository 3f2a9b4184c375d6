"""Tokens of each type are used by a real gateway, through an API that gives back all it was sent; then everything is searched for them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.credentials.echo_api import ADDRESS
from tests.credentials.oauth_scene import listening
from tests.credentials.test_tokens import everything
from tests.e2e.calling import Caller
from tests.e2e.gateways import admin_key, start_gateway
from tests.fakes.upstream import Upstream, start_upstream
from tests.faults.searching import search

from pointsman.kit.db import Connection

LOOK = """
import json, pathlib
seen = {}
for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        seen[str(path)] = path.read_text()
    except OSError as error:
        seen[str(path)] = type(error).__name__
print(json.dumps(seen))
"""
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "CRM", "version": "1"},
    "paths": {"/find": {"get": {"operationId": "find", "responses": {"200": {"description": "Found."}}}}},
}
HEADERS = {
    "Authorization": "Bearer ${token:calendar}",
    "X-Api-Key": "${token:tracker}",
    "X-Jwt": "${token:vault}",
    "X-App": "${secret:CRM}",
}


@pytest.fixture
async def echo() -> AsyncGenerator[str]:
    async with listening("echo_api.py") as url:
        yield url.replace("127.0.0.1", ADDRESS)


async def test_no_token_is_in_any_row_log_line_prompt_event_or_sandbox(dsn: str, owner: Connection, tmp_path: Path, echo: str) -> None:
    made = {name: f"{name}-{secrets.token_urlsafe(24)}/+=" for name in ("access", "refresh", "api-key", "jwt", "operator")}
    with ExitStack() as stack:
        upstream = stack.enter_context(start_upstream())
        variables = {
            "POINTSMAN_EGRESS__ALLOW": f'["{ADDRESS}"]',
            "POINTSMAN_LOG__LEVEL": "debug",
            "POINTSMAN_SECRETS__CRM": made["operator"],
        }
        gateway = start_gateway(dsn, tmp_path, upstream, **variables)
        stack.callback(gateway.stop)
        caller = Caller(gateway.url, await admin_key(dsn, tmp_path))
        try:
            await _stored(caller, made)
            agent = await _agent(caller, echo)
            said = await _used(caller, agent)
        finally:
            await caller.aclose()
        gateway.terminate()
        assert await gateway.ended() == 0
        places = {"rows": await everything(owner), "events": said, "ledger": json.dumps(_asked(upstream)), "log": gateway.log.read_text()}
    await _reached(echo, made)
    assert await owner.fetchval("SELECT count(*) FROM token_uses WHERE user_id = 'ann' AND tool = 'crm__find'") == 6
    assert places["log"].count("credential.used") == 6
    files = [_written(tmp_path / f"searched-{place}", text) for place, text in places.items()]
    assert [str(found) for found in search(files, made)] == []
    # The search finds what is there.
    assert search([_written(tmp_path / "planted", f"x{made['jwt']}")], made)


async def _stored(caller: Caller, made: dict[str, str]) -> None:
    """One token of each type, for ann."""
    stored: dict[str, dict[str, Any]] = {
        "calendar": {"token_type": "oauth2", "token_data": {"access_token": made["access"], "refresh_token": made["refresh"]}},
        "tracker": {"token_type": "api_key", "token_data": {"api_key": made["api-key"]}},
        "vault": {"token_type": "jwt", "token_data": {"token": made["jwt"]}},
    }
    for name, body in stored.items():
        answer = await caller.http.put(f"/v2/users/ann/tokens/{name}", json={"provider": "somebody", **body})
        assert answer.status_code == 200, answer.text


async def _agent(caller: Caller, echo: str) -> str:
    """An agent with the API's one operation, and a skill whose script looks around in its sandbox."""
    tools = {"id": "crm", "name": "CRM", "document": DOCUMENT, "operations": ["find"], "server_url": echo, "headers": HEADERS}
    await caller.post("/v2/openapi-tools", tools)
    scripts = [{"name": "look.py", "content": LOOK}]
    await caller.post("/v2/skills", {"id": "look", "name": "look", "description": "Looks.", "instructions": "Look.", "scripts": scripts})
    return await caller.agent(tools=[{"type": "openapi", "name": "crm"}], skills=["look"])


async def _used(caller: Caller, agent: str) -> str:
    """Both tools called in a turn as JSON and in one as a stream; all that a client is told of it."""
    script = json.dumps({"skill": "look", "script": "scripts/look.py"}, separators=(",", ":"))
    message = f"Look. [[tool=crm__find]] [[tool=run_skill_script;args={script}]]"
    answer = await caller.chat(agent, message, user_id="ann")
    async with caller.stream(agent, message, user_id="ann") as reader:
        events = await reader.rest()
    told = [event for event in await caller.replay(answer["run_id"]) if event.name == "tool.completed"]
    assert [event.data["is_error"] for event in told] == [False, False], told
    contents = {event.data["name"]: event.data["content"] for event in told}
    assert contents["crm__find"].count("***") >= 4 * 5  # each of the four headers, in each of the five ways
    assert "PATH=" in contents["run_skill_script"]
    raw = b"".join(event.raw for event in (*events, *await caller.replay(answer["run_id"], verbosity="full")))
    return raw.decode() + json.dumps(answer)


async def _reached(echo: str, made: dict[str, str]) -> None:
    """Each token arrived where it belongs, at each call."""
    async with httpx.AsyncClient(trust_env=False) as client:
        seen = (await client.get(f"{echo}/seen")).json()
    assert len(seen) == 2
    for headers in seen:
        values = [headers[name.lower()] for name in HEADERS]
        assert values == [f"Bearer {made['access']}", made["api-key"], made["jwt"], made["operator"]]


def _asked(upstream: Upstream) -> list[dict[str, Any]]:
    """What the model's provider was sent, which was told the results of the tools."""
    ledger = upstream.ledger()
    assert any("***" in json.dumps(entry["body"]) for entry in ledger)
    return ledger


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
