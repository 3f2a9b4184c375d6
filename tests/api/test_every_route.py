"""Every route with no key, the wrong scope, another tenant's key and the right one, from the routes themselves."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.api.edge_scene import client_of, make_key

from pointsman.api.app import flatten
from pointsman.api.door import Door
from pointsman.api.policies import POLICIES, shape
from pointsman.api.routing import Endpoint, RouteTable
from pointsman.bootstrap import routers
from pointsman.kit.db import Connection
from pointsman.kit.principal import ADMIN

ENDPOINTS = [endpoint for endpoint in RouteTable(flatten(routers())).endpoints if not endpoint.policy.public]
CONFIG = {"model": "scripted:echo"}
API = {"openapi": "3.1.0", "servers": [{"url": "https://api.invalid"}], "paths": {"/pets": {"get": {"operationId": "listPets"}}}}

# A body for each route that takes one; `{owned}` and the like are the ids of the scene.
BODIES: dict[str, Any] = {
    "POST /v2/prompts": {"id": "new", "name": "New", "template": "Hello {name}"},
    "PATCH /v2/prompts/{}": {"name": "Renamed"},
    "POST /v2/prompts/{}/rollback": {"version": 1},
    "PUT /v2/prompts/{}/labels/{}": {"version": 1},
    "POST /v2/prompts/{}/render": {"variables": {}},
    "POST /v2/skills": {"id": "new", "name": "new", "instructions": "Be brief."},
    "PATCH /v2/skills/{}": {"description": "Changed."},
    "POST /v2/skills/{}/rollback": {"version": 1},
    "POST /v2/agents": {"id": "new", "name": "New", "template": "Hello", "config": CONFIG},
    "PATCH /v2/agents/{}": {"name": "Renamed"},
    "POST /v2/agents/{}/chat": {"message": "Hello", "user_id": "u1"},
    "POST /v2/teams": {"id": "new", "name": "New", "mode": "coordinate"},
    "POST /v2/teams/{}/runs": {"message": "Hello", "user_id": "u1"},
    "PATCH /v2/teams/{}": {"name": "Renamed"},
    "PUT /v2/teams/{}/members/{}": {"role": "leader"},
    "PATCH /v2/teams/{}/members/{}": {"order_index": 1},
    "POST /v2/memories": {"user_id": "u1", "agent_id": "support", "content": "Likes tea."},
    "PATCH /v2/memories/{}": {"content": "Likes coffee."},
    "POST /v2/budgets": {"subject_type": "user", "subject_id": "u1", "unit": "tokens", "period": "day", "amount": 1},
    "PATCH /v2/budgets/{}": {"amount": 2},
    "POST /v2/keys": {"name": "new", "scopes": ["keys:write"]},
    "PATCH /v2/keys/{}": {"name": "renamed"},
    "POST /v2/approvals/{}/approve": {"note": "Fine."},
    "POST /v2/approvals/{}/deny": {},
    "POST /v2/runs/{}/resume": {},
    "POST /v2/keys/{}/rotate": {},
    "POST /v2/jobs": {"prompt": "Look around"},
    "PUT /v2/users/{}/tokens/{}": {"provider": "github", "token_type": "api_key", "token_data": {"api_key": "k"}},
    "POST /v2/users/{}/tokens/connect/{}": {"integration_key": "code"},
    "POST /v2/schedules": {"subject_type": "agent", "subject_id": "support", "cron": "0 9 * * *", "request": {"message": "Well?"}},
    "PATCH /v2/schedules/{}": {"paused": True},
    "POST /v2/mcp-servers": {"id": "new", "url": "https://mcp.invalid/mcp"},
    "PATCH /v2/mcp-servers/{}": {"description": "Renamed"},
    "POST /v2/mcp-servers/{}/inspect": {},
    "POST /v2/mcp-servers/{}/approve": {"sha256": "0" * 64},
    "POST /v2/webhooks": {"url": "https://hooks.invalid/"},
    "PATCH /v2/webhooks/{}": {"name": "Renamed"},
    "POST /v2/webhooks/{}/replay": {"since": "2026-01-31T12:00:00Z"},
    "POST /v2/knowledge/{}/search": {"query": "tea"},
    "POST /v2/knowledge/{}/reindex": {"which": "failed"},
    "POST /v2/knowledge/{}/files": {"uri": "file:///tea.txt"},
    "POST /v2/knowledge/{}/{}/files": {"uri": "file:///tea.txt"},
    "POST /v2/engines": {"id": "new", "name": "New", "type": "direct_ops"},
    "PATCH /v2/engines/{}": {"name": "Renamed"},
    "POST /v2/targets": {"id": "new", "name": "New", "type": "local"},
    "PATCH /v2/targets/{}": {"name": "Renamed"},
    "POST /v2/openapi-tools": {"id": "new", "name": "New", "document": API, "operations": ["listPets"]},
    "PATCH /v2/openapi-tools/{}": {"name": "Renamed"},
    "POST /v2/runner/sandboxes": {"target": "local", "handle": "pm-new-1", "memory_mb": 64, "cpus": 1},
    "POST /v2/runner/sandboxes/{}/exec": {"id": "one", "argv": ["true"]},
}
UPLOADS = {"POST /v2/skills/import": {"file": ("SKILL.md", b"---\nname: uploaded\ndescription: A skill.\n---\nBe brief.\n")}}
QUERIES = {
    "GET /v2/runner/probe": "?target=local",
    "GET /v2/runner/sandboxes": "?target=local",
    "DELETE /v2/runner/sandboxes/{}": "?target=local",
    "GET /v2/jobs/{}/workspace": "?kind=in",
    "DELETE /v2/users/{}/data": "?without_export=true",
    "GET /v2/prompts/{}/diff": "?from=1&to=2",
}
LEADER = {"agent_id": "support", "role": "leader"}
# What a key must be able to do besides, because the route acts in its name later.
BESIDES = {"POST /v2/schedules": "agents:run", "PATCH /v2/schedules/{}": "agents:run"}
# What belongs to a tenant; everything else with an id is the operator's catalogue, which all tenants share.
OWNED = (
    "/v2/runs/",
    "/v2/sessions/",
    "/v2/memories/",
    "/v2/keys/",
    "/v2/budgets/",
    "/v2/erasures/",
    "/v2/jobs/",
    "/v2/approvals/",
    "/v2/schedules/",
    "/v2/webhooks/",
    "/v2/knowledge/",
)
OPERATORS_ONLY = {
    "GET /v2/audit/verify",
    "GET /v2/tenants/{}/export",
    "DELETE /v2/tenants/{}",
    "GET /v2/runner/probe",
    "GET /v2/runner/sandboxes",
    "POST /v2/runner/sandboxes",
    "GET /v2/runner/sandboxes/{}",
    "DELETE /v2/runner/sandboxes/{}",
    "PUT /v2/runner/sandboxes/{}/files",
    "GET /v2/runner/sandboxes/{}/files",
    "POST /v2/runner/sandboxes/{}/exec",
    "DELETE /v2/runner/sandboxes/{}/commands/{}",
    "POST /v2/breakers/{}/reset",
    *(f"POST /v2/{noun}" for noun in ("engines", "targets", "mcp-servers", "openapi-tools")),
    *(f"{method} /v2/{noun}/{{}}" for noun in ("engines", "targets", "mcp-servers", "openapi-tools") for method in ("PATCH", "DELETE")),
    "POST /v2/mcp-servers/{}/inspect",
    "POST /v2/mcp-servers/{}/approve",
}
LISTS = (
    "/v2/approvals",
    "/v2/runs",
    "/v2/sessions",
    "/v2/memories",
    "/v2/keys",
    "/v2/budgets",
    "/v2/audit",
    "/v2/usage",
    "/v2/jobs",
    "/v2/schedules",
    "/v2/webhooks",
    "/v2/knowledge",
)


@dataclass
class Scene:
    """A catalogue, and objects of the tenant acme."""

    app: Door
    owner: Connection
    ids: dict[str, str]

    async def key(self, *scopes: str, tenant: str | None = "acme") -> str:
        return await make_key(self.owner, *scopes, owner_id=tenant)

    def path(self, endpoint: Endpoint, *, missing: bool = False) -> str:
        """A path to objects that exist; with `missing`, to ones of the same form that do not."""
        noun = endpoint.template.split("/")[2]
        first = {"runs": "run_0000000000000000000000", "keys": "2000000000"}.get(noun, "none-such") if missing else self.ids.get(noun, "")
        second = {
            "versions": "1",
            "labels": "production",
            "members": "support",
            "commands": "one",
            "tokens": "github",
            "connects": self.ids["connect"],
            "files": self.ids["file"],
        }
        values = iter([first, *(second[segment] for segment in endpoint.template.split("/")[4:6] if segment in second)])
        return re.sub(r"\{[^}]+\}", lambda _: next(values), endpoint.template) + QUERIES.get(name_of(endpoint), "")

    async def call(self, endpoint: Endpoint, key: str | None, *, missing: bool = False) -> httpx.Response:
        body = BODIES.get(name_of(endpoint)) if endpoint.takes_json else None
        files = UPLOADS.get(name_of(endpoint))
        async with client_of(self.app, key) as client:
            return await client.request(endpoint.method, self.path(endpoint, missing=missing), json=body, files=files)


def name_of(endpoint: Endpoint) -> str:
    return shape(endpoint.method, endpoint.template)


def ids_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.template}"


each_route = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=ids_of)


@pytest.fixture
async def scene(whole: Door, owner: Connection) -> Scene:
    return Scene(whole, owner, await _objects(whole, owner))


async def _objects(app: Door, owner: Connection) -> dict[str, str]:
    operator = await make_key(owner, "admin")
    tenant = await make_key(owner, "admin", owner_id="acme")
    await owner.execute("INSERT INTO circuit_breakers (id, kind, subject, failures) VALUES ('target:local', 'target', 'local', 1)")
    async with client_of(app, operator) as client:
        await _made(client, "/v2/prompts", id="greeting", name="Greeting", template="One")
        await client.patch("/v2/prompts/greeting", json={"template": "Two"})
        await client.put("/v2/prompts/greeting/labels/production", json={"version": 1})
        await _made(client, "/v2/skills", id="brief", name="brief", instructions="Be brief.")
        await _made(client, "/v2/mcp-servers", id="crm", url="https://mcp.invalid/mcp")
        await _made(client, "/v2/openapi-tools", id="pets", name="Pets", document=API, operations=["listPets"])
        await _made(client, "/v2/agents", id="support", name="Support", prompt_service_id="greeting", config=CONFIG)
        # What asks before it remembers.
        asking = {"turns": [{"tool_calls": [{"name": "memory", "args": {"action": "recall"}, "id": "c1"}]}, {"text": "Done."}]}
        config = {"model": "scripted:play", "script": asking, "worker_config": {"permissions": {"ask": ["memory"]}}}
        await _made(client, "/v2/agents", id="careful", name="Careful", template="Ask.", config=config)
        await _made(client, "/v2/teams", id="desk", name="Desk", mode="coordinate", agents=[LEADER, {"agent_id": "careful"}])
    async with client_of(app, tenant) as client:
        paused = await _made(client, "/v2/agents/careful/chat", message="Hello", user_id="u1", session_id="waiting")
        run = await _made(client, "/v2/agents/support/chat", message="Hello", user_id="u1", session_id="talk")
        memory = await _made(client, "/v2/memories", user_id="u1", agent_id="support", content="Likes tea.")
        key = await _made(client, "/v2/keys", name="a key of acme", scopes=["keys:write"])
        erasure = (await client.delete("/v2/users/u3/data?without_export=true")).json()
        job = await _made(client, "/v2/jobs", prompt="Look around", workspace=base64.b64encode(bytes(1024)).decode())
        asked = {"subject_type": "agent", "subject_id": "support", "cron": "0 9 * * *", "request": {"message": "Well?"}}
        webhook = await _made(client, "/v2/webhooks", url="https://hooks.invalid/")
        schedule = await _made(client, "/v2/schedules", **asked)
        await client.put("/v2/users/u2/tokens/github", json=BODIES["PUT /v2/users/{}/tokens/{}"])
        connect = await owner.fetchval(
            "INSERT INTO token_connects (id, tenant_id, user_id, integration_key, provider, scopes, key_id, start_hash, expires_at)"
            " VALUES ('con_1', 'acme', 'u2', 'github', 'github', '{}', 1, 's', now()) RETURNING id"
        )
        # It has ended: nobody works here, and the stream of a job that waits does not end.
        await client.post(f"/v2/jobs/{job['id']}/cancel")
        budget = await _made(client, "/v2/budgets", subject_type="tenant", subject_id="acme", unit="tokens", period="day", amount=10**6)
        file = (await client.post("/v2/knowledge/acme/files", files={"file": ("tea.txt", b"Tea.")})).json()["file_id"]
    # Nobody indexes here, and the stream of a file that waits does not end.
    await owner.execute("UPDATE knowledge_details SET settled = wanted, step = 'indexed'")
    return {
        "knowledge": "acme",
        "file": file,
        "connect": connect,
        "prompts": "greeting",
        "skills": "brief",
        "agents": "support",
        "teams": "desk",
        "runs": run["run_id"],
        "sessions": "talk",
        "memories": memory["id"],
        "keys": str(key["id"]),
        "budgets": budget["id"],
        "erasures": erasure["id"],
        "jobs": job["id"],
        "schedules": schedule["id"],
        "webhooks": webhook["id"],
        "breakers": "target:local",
        "approvals": paused["approvals"][0]["id"],
        "users": "u2",
        "tenants": "nobody",
        "engines": "direct_ops",
        "mcp-servers": "crm",
        "targets": "local",
        "openapi-tools": "pets",
        "runner": "pm-none-1",
    }


async def _made(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    return answer.json()


def test_every_route_that_takes_a_body_has_an_example() -> None:
    missing = [name_of(endpoint) for endpoint in ENDPOINTS if endpoint.takes_json and name_of(endpoint) not in BODIES]
    assert not missing, f"add a body to BODIES for {missing}"


def test_every_policy_has_a_route() -> None:
    served = {name_of(endpoint) for endpoint in RouteTable(flatten(routers())).endpoints}
    ours = {"GET /livez", "GET /readyz", "GET /metrics", "GET /openapi.json", "GET /problems/{}"}
    assert {shape(*name.split(" ", 1)) for name in POLICIES} - ours - served == set()


async def test_without_a_key_no_route_answers(scene: Scene) -> None:
    for endpoint in ENDPOINTS:
        answer = await scene.call(endpoint, None)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), ids_of(endpoint)


async def test_without_the_scope_no_route_answers(scene: Scene) -> None:
    every = {scope for endpoint in ENDPOINTS for scope in endpoint.policy.scopes} - {ADMIN}
    for endpoint in ENDPOINTS:
        if endpoint.policy.scopes:
            key = await scene.key(*sorted(every - set(endpoint.policy.scopes)))
            answer = await scene.call(endpoint, key)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing"), ids_of(endpoint)


async def test_another_tenants_object_looks_like_one_that_does_not_exist(scene: Scene) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.template.startswith(OWNED):
            for key in (await scene.key("admin", tenant="other"), await _operator_within(scene)):
                there, nowhere = [await _fetched(scene, endpoint, key, missing=missing) for missing in (False, True)]
                assert there == nowhere, ids_of(endpoint)
                # Deleting can be repeated, so that it answers the same for what never was; below, nothing is gone.
                assert there[0] == (204 if endpoint.method == "DELETE" and there[0] == 204 else 404), (ids_of(endpoint), there)
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and endpoint.template.startswith(OWNED):
            answer = await scene.call(endpoint, await scene.key("admin"))
            assert answer.status_code == 200, ids_of(endpoint)


async def test_lists_show_nothing_of_another_tenant(scene: Scene) -> None:
    stranger = await scene.key("admin", tenant="other")
    async with client_of(scene.app, stranger) as client:
        for path in LISTS:
            text = (await client.get(path)).text
            assert "acme" not in text, (path, text)
            assert not [found for found in scene.ids.values() if len(found) > 3 and f'"{found}"' in text], (path, text)


@each_route
async def test_the_right_key_is_let_in_by_each_of_its_scopes(scene: Scene, endpoint: Endpoint) -> None:
    for scope in endpoint.policy.scopes or ("agents:read",):
        besides = [BESIDES[name_of(endpoint)]] if name_of(endpoint) in BESIDES else []
        key = await scene.key(scope, *besides, tenant=None if name_of(endpoint) in OPERATORS_ONLY else "acme")
        answer = await scene.call(endpoint, key)
        # A run that has ended can be neither cancelled nor resumed, and the second scope's turn may find the first one's work done.
        # Nor does this gateway serve sandboxes to others: its operator has named no target.
        unserved = answer.status_code == 404 and answer.json()["code"] in {"runner-not-served", "sandbox-not-found"}
        # Nor are files taken from folders of its host.
        unserved = unserved or (answer.status_code == 422 and answer.json()["code"] == "source-refused")
        # Nor is there an MCP server at an address that nobody has.
        unserved = unserved or (answer.status_code == 502 and answer.json()["code"] == "mcp-server-failed")
        assert unserved or answer.status_code in {200, 201, 202, 204, 409}, (scope, answer.text)
        if answer.headers.get("content-type") == "application/json":
            json.loads(answer.content)


async def _operator_within(scene: Scene) -> dict[str, str]:
    """An operator that works in another tenant sees that one only."""
    return {"x-api-key": await scene.key("admin", tenant=None), "x-pointsman-tenant": "other"}


async def _fetched(scene: Scene, endpoint: Endpoint, key: str | dict[str, str], *, missing: bool) -> tuple[int, str]:
    headers = key if isinstance(key, dict) else {"x-api-key": key}
    body = BODIES.get(name_of(endpoint)) if endpoint.takes_json else None
    path = scene.path(endpoint, missing=missing)
    async with client_of(scene.app) as client:
        answer = await client.request(endpoint.method, path, json=body, headers={**headers, "x-request-id": "same"})
    named = path.partition("?")[0].split("/")[3]
    return answer.status_code, answer.text.replace(named, "ID")
