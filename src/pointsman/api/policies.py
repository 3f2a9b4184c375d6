"""The one policy table: what a caller needs for each route, enforced by the edge before the route runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route asks of its caller, and how the edge treats its body and its answer.

    A route that is not `public` needs a key, and where `scopes` is not empty one of them (`admin` is all).
    """

    public: bool = False
    scopes: tuple[str, ...] = ()
    large_body: bool = False  # the limit for chats, attachments included
    streamed: bool = False  # multipart bodies are bounded as uploads and passed on as they arrive
    replayed: bool = True  # whether its answer may be stored for an Idempotency-Key
    always: bool = False  # answered even when the process is past its bound of requests


PUBLIC = Policy(public=True)
HEALTH = Policy(public=True, always=True)
ANY_KEY = Policy()


def scope(*names: str) -> Policy:
    """A key that holds one of these scopes."""
    return Policy(scopes=names)


_UPLOAD = Policy(scopes=("knowledge:write",), streamed=True, replayed=False)
_RUNNING = scope("agents:run")
# Whoever may start a run may follow, stop and resume it: its stream could not be taken up again otherwise.
_FOLLOWING = scope("runs:read", "agents:run", "teams:run")
_STEERING = scope("runs:write", "agents:run", "teams:run")

POLICIES: Mapping[str, Policy] = {
    "GET /livez": HEALTH,
    "GET /readyz": HEALTH,
    # Scrapers carry no key. What it tells is counts per route template: no id, no tenant, no text.
    "GET /metrics": HEALTH,
    "GET /openapi.json": PUBLIC,
    "GET /problems/{code}": PUBLIC,
    "GET /v2/whoami": ANY_KEY,
    "GET /v2/prompts": scope("prompts:read"),
    "POST /v2/prompts": scope("prompts:write"),
    "GET /v2/prompts/{id}": scope("prompts:read"),
    "PATCH /v2/prompts/{id}": scope("prompts:write"),
    "DELETE /v2/prompts/{id}": scope("prompts:write"),
    "GET /v2/prompts/{id}/versions": scope("prompts:read"),
    "GET /v2/prompts/{id}/versions/{version}": scope("prompts:read"),
    "GET /v2/prompts/{id}/diff": scope("prompts:read"),
    "POST /v2/prompts/{id}/rollback": scope("prompts:write"),
    "GET /v2/prompts/{id}/labels": scope("prompts:read"),
    "GET /v2/prompts/{id}/labels/{label}": scope("prompts:read"),
    "PUT /v2/prompts/{id}/labels/{label}": scope("prompts:write"),
    "DELETE /v2/prompts/{id}/labels/{label}": scope("prompts:write"),
    "POST /v2/prompts/{id}/render": scope("prompts:read"),
    "GET /v2/skills": scope("skills:read"),
    "POST /v2/skills": scope("skills:write"),
    "POST /v2/skills/import": replace(scope("skills:write"), large_body=True),
    "GET /v2/skills/{id}": scope("skills:read"),
    "PATCH /v2/skills/{id}": scope("skills:write"),
    "DELETE /v2/skills/{id}": scope("skills:write"),
    "GET /v2/skills/{id}/export": scope("skills:read"),
    "GET /v2/skills/{id}/versions": scope("skills:read"),
    "GET /v2/skills/{id}/versions/{version}": scope("skills:read"),
    "POST /v2/skills/{id}/rollback": scope("skills:write"),
    "GET /v2/agents": scope("agents:read"),
    "POST /v2/agents": scope("agents:write"),
    "GET /v2/agents/{id}": scope("agents:read"),
    "PATCH /v2/agents/{id}": scope("agents:write"),
    "DELETE /v2/agents/{id}": scope("agents:write"),
    "POST /v2/agents/{id}/chat": replace(_RUNNING, large_body=True),
    "GET /v2/teams": scope("teams:read"),
    "POST /v2/teams": scope("teams:write"),
    "GET /v2/teams/{id}": scope("teams:read"),
    "PATCH /v2/teams/{id}": scope("teams:write"),
    "DELETE /v2/teams/{id}": scope("teams:write"),
    "GET /v2/teams/{id}/members": scope("teams:read"),
    "GET /v2/teams/{id}/members/{agent_id}": scope("teams:read"),
    "PUT /v2/teams/{id}/members/{agent_id}": scope("teams:write"),
    "PATCH /v2/teams/{id}/members/{agent_id}": scope("teams:write"),
    "DELETE /v2/teams/{id}/members/{agent_id}": scope("teams:write"),
    "POST /v2/teams/{id}/runs": replace(scope("teams:run"), large_body=True),
    "GET /v2/runs": scope("runs:read"),
    "GET /v2/runs/{id}": _FOLLOWING,
    "GET /v2/runs/{id}/events": _FOLLOWING,
    "POST /v2/runs/{id}/cancel": _STEERING,
    "POST /v2/runs/{id}/resume": _STEERING,
    "GET /v2/sessions": scope("sessions:read"),
    "GET /v2/sessions/{id}": scope("sessions:read"),
    "DELETE /v2/sessions/{id}": scope("sessions:write"),
    "GET /v2/sessions/{id}/messages": scope("sessions:read"),
    "GET /v2/memories": scope("memories:read"),
    "POST /v2/memories": scope("memories:write"),
    "GET /v2/memories/{id}": scope("memories:read"),
    "PATCH /v2/memories/{id}": scope("memories:write"),
    "DELETE /v2/memories/{id}": scope("memories:write"),
    "GET /v2/keys": scope("keys:read"),
    "POST /v2/keys": scope("keys:write"),
    "GET /v2/keys/{id}": scope("keys:read"),
    "PATCH /v2/keys/{id}": scope("keys:write"),
    "DELETE /v2/keys/{id}": scope("keys:write"),
    "POST /v2/keys/{id}/rotate": scope("keys:write"),
    "GET /v2/approvals": scope("approvals:read"),
    "GET /v2/approvals/{id}": scope("approvals:read", "approvals:decide"),
    "POST /v2/approvals/{id}/approve": scope("approvals:decide"),
    "POST /v2/approvals/{id}/deny": scope("approvals:decide"),
    "POST /v2/approvals/{id}/links": replace(scope("approvals:decide"), replayed=False),
    # The link itself says who may: it is signed over what was shown and the one decision that it allows.
    "GET /v2/approvals/{id}/link": PUBLIC,
    "POST /v2/approvals/{id}/link": PUBLIC,
    "GET /v2/audit": scope("audit:read"),
    "GET /v2/audit/verify": scope("audit:read"),
    "GET /v2/usage": scope("usage:read"),
    "GET /v2/budgets": scope("budgets:read"),
    "POST /v2/budgets": scope("budgets:write"),
    "GET /v2/budgets/{id}": scope("budgets:read"),
    "PATCH /v2/budgets/{id}": scope("budgets:write"),
    "DELETE /v2/budgets/{id}": scope("budgets:write"),
    "GET /v2/users/{id}/export": scope("admin"),
    "DELETE /v2/users/{id}/data": scope("admin"),
    "GET /v2/tenants/{id}/export": scope("admin"),
    "DELETE /v2/tenants/{id}": scope("admin"),
    "GET /v2/erasures/{id}": scope("admin"),
    "GET /v2/users/{id}/tokens": scope("tokens:read"),
    "PUT /v2/users/{id}/tokens/{key}": scope("tokens:write"),
    "GET /v2/users/{id}/tokens/{key}": scope("tokens:read"),
    "DELETE /v2/users/{id}/tokens/{key}": scope("tokens:write"),
    # A stored answer would be one more place in which the secret is.
    "POST /v2/users/{id}/tokens/{key}/reveal": replace(scope("tokens:reveal"), replayed=False),
    "POST /v2/users/{id}/tokens/{key}/refresh": scope("tokens:write", "tokens:use"),
    "GET /v2/users/{id}/tokens/{key}/uses": scope("tokens:read"),
    # A stored answer would be one more place in which the link is.
    "POST /v2/users/{id}/tokens/connect/{provider}": replace(scope("tokens:write"), replayed=False),
    "GET /v2/users/{id}/connects/{connect}": scope("tokens:read", "tokens:write"),
    # The link, the cookie of its page and the provider's `state` say who may.
    "GET /v2/connect/{start}": PUBLIC,
    "POST /v2/connect/{start}": PUBLIC,
    "GET /v2/connect/{provider}/callback": PUBLIC,
    "GET /v2/engines": scope("engines:read"),
    "POST /v2/engines": scope("engines:write"),
    "GET /v2/engines/{id}": scope("engines:read"),
    "PATCH /v2/engines/{id}": scope("engines:write"),
    "DELETE /v2/engines/{id}": scope("engines:write"),
    "GET /v2/targets": scope("targets:read"),
    "POST /v2/targets": scope("targets:write"),
    "GET /v2/targets/{id}": scope("targets:read"),
    "PATCH /v2/targets/{id}": scope("targets:write"),
    "DELETE /v2/targets/{id}": scope("targets:write"),
    "GET /v2/targets/{id}/health": scope("targets:read"),
    "GET /v2/runner/probe": scope("runner:use"),
    "GET /v2/runner/sandboxes": scope("runner:use"),
    "POST /v2/runner/sandboxes": scope("runner:use"),
    "GET /v2/runner/sandboxes/{handle}": scope("runner:use"),
    "DELETE /v2/runner/sandboxes/{handle}": scope("runner:use"),
    "PUT /v2/runner/sandboxes/{handle}/files": Policy(scopes=("runner:use",), large_body=True),
    "GET /v2/runner/sandboxes/{handle}/files": scope("runner:use"),
    "POST /v2/runner/sandboxes/{handle}/exec": Policy(scopes=("runner:use",), large_body=True, replayed=False),
    "DELETE /v2/runner/sandboxes/{handle}/commands/{id}": scope("runner:use"),
    "GET /v2/jobs": scope("jobs:read"),
    "POST /v2/jobs": Policy(scopes=("jobs:write",), large_body=True),
    "GET /v2/jobs/{id}": scope("jobs:read"),
    "GET /v2/jobs/{id}/attempts": scope("jobs:read"),
    "GET /v2/jobs/{id}/events": scope("jobs:read"),
    "GET /v2/jobs/{id}/workspace": scope("jobs:read"),
    "POST /v2/jobs/{id}/cancel": scope("jobs:write"),
    "POST /v2/jobs/{id}/retry": scope("jobs:write"),
    # No stored answer is needed: the same content again changes nothing.
    "POST /v2/knowledge/{tenant_id}/files": _UPLOAD,
    "POST /v2/knowledge/{tenant_id}/{collection_id}/files": _UPLOAD,
    "GET /v2/knowledge": scope("knowledge:read"),
    "GET /v2/knowledge/{tenant_id}/files": scope("knowledge:read"),
    "GET /v2/knowledge/{tenant_id}/{collection_id}/files": scope("knowledge:read"),
    "GET /v2/knowledge/{tenant_id}/files/{file_id}": scope("knowledge:read"),
    "GET /v2/knowledge/{tenant_id}/files/{file_id}/events": scope("knowledge:read", "knowledge:write"),
    "DELETE /v2/knowledge/{tenant_id}/files/{file_id}": scope("knowledge:write"),
    "POST /v2/knowledge/{tenant_id}/files/{file_id}/reindex": scope("knowledge:write"),
    "POST /v2/knowledge/{tenant_id}/reindex": scope("knowledge:write"),
    "POST /v2/knowledge/{tenant_id}/search": scope("knowledge:read"),
    "GET /v2/models": scope("models:read"),
    "GET /v2/webhooks": scope("webhooks:read"),
    "POST /v2/webhooks": scope("webhooks:write"),
    "GET /v2/webhooks/{id}": scope("webhooks:read"),
    "PATCH /v2/webhooks/{id}": scope("webhooks:write"),
    "DELETE /v2/webhooks/{id}": scope("webhooks:write"),
    "GET /v2/webhooks/{id}/deliveries": scope("webhooks:read"),
    "POST /v2/webhooks/{id}/test": scope("webhooks:write"),
    "POST /v2/webhooks/{id}/replay": scope("webhooks:write"),
    "POST /v2/webhooks/{id}/rotate-secret": scope("webhooks:write"),
    "GET /v2/schedules": scope("schedules:read"),
    "POST /v2/schedules": scope("schedules:write"),
    "GET /v2/schedules/{id}": scope("schedules:read"),
    "PATCH /v2/schedules/{id}": scope("schedules:write"),
    "DELETE /v2/schedules/{id}": scope("schedules:write"),
    "GET /v2/schedules/{id}/fires": scope("schedules:read"),
    "GET /v2/breakers": scope("breakers:read"),
    "POST /v2/breakers/{id}/reset": scope("breakers:write"),
    "GET /v2/tools": scope("tools:read"),
    "GET /v2/mcp-servers": scope("tools:read"),
    "POST /v2/mcp-servers": scope("tools:write"),
    "GET /v2/mcp-servers/{id}": scope("tools:read"),
    "PATCH /v2/mcp-servers/{id}": scope("tools:write"),
    "DELETE /v2/mcp-servers/{id}": scope("tools:write"),
    "POST /v2/mcp-servers/{id}/inspect": scope("tools:write"),
    "POST /v2/mcp-servers/{id}/approve": scope("tools:write"),
    "GET /v2/openapi-tools": scope("tools:read"),
    "POST /v2/openapi-tools": replace(scope("tools:write"), large_body=True),
    "GET /v2/openapi-tools/{id}": scope("tools:read"),
    "PATCH /v2/openapi-tools/{id}": replace(scope("tools:write"), large_body=True),
    "DELETE /v2/openapi-tools/{id}": scope("tools:write"),
    "GET /v2/openapi-tools/{id}/document": scope("tools:read"),
    "GET /v2/workers": scope("workers:read"),
}


def policy_of(method: str, template: str, table: Mapping[str, Policy] = POLICIES) -> Policy | None:
    """The policy of a route, whatever its parameters are called; None when the table has none."""
    return _by_shape(table).get(shape(method, template))


def shape(method: str, template: str) -> str:
    """`GET /v2/agents/{agent_id}` and `GET /v2/agents/{id}` are the same route."""
    return f"{method} {_PARAMETER.sub('{}', template)}"


def _by_shape(table: Mapping[str, Policy]) -> dict[str, Policy]:
    return {shape(*route.split(" ", 1)): policy for route, policy in table.items()}


_PARAMETER = re.compile(r"\{[^{}/]+\}")
