"""What an answer may be: schemathesis' checks with what they cannot know, and ours beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from schemathesis import Response
from schemathesis.core.failures import AcceptedNegativeData, Failure, FailureGroup
from schemathesis.openapi.checks import RejectedPositiveData
from tests.fuzz.principals import MARKER, Principal
from tests.fuzz.stock import AnyCase

from pointsman import bootstrap
from pointsman.kit.problems import Problem

assert bootstrap  # whose imports register every problem
_MEMBERS = ("type", "title", "status", "detail", "code", "request_id")
_INSIDES = ("Traceback (most recent call last)", 'File "/', "asyncpg.exceptions", "pydantic_core")
# Before a key is looked at: what cannot be read, is found nowhere, or is too large already by what it declares.
_BEFORE_THE_KEY = {400, 404, 405, 413}
_BEFORE_THE_SCOPE = _BEFORE_THE_KEY | {422, 429}


class Finding(NamedTuple):
    """Something that must not be."""

    check: str
    message: str


class Request(NamedTuple):
    """A generated request, in whose name it was sent, and which operation of the document it is for."""

    case: AnyCase
    principal: Principal
    alternatives: list[list[str]]  # of scopes; empty where no key is needed
    sent: str  # its address, headers but the key, and body, as one text


def judge(request: Request, response: Response, secrets: list[str]) -> Iterator[Finding]:
    """Our own checks."""
    text = response.content.decode(errors="replace")
    if response.status_code >= 400 and request.case.method != "HEAD":
        yield from _as_problem(response)
    yield from (
        Finding("no_insides", f"the answer holds {inside!r}") for inside in _INSIDES if inside in text and inside not in request.sent
    )
    yield from (Finding("no_secret", "the answer holds a secret") for secret in secrets if secret in text and secret not in request.sent)
    if request.principal.name != "operator" and MARKER in text and MARKER not in request.sent:
        yield Finding("tenants_apart", "the answer holds what another tenant said")
    if request.alternatives:
        yield from _as_authorized(request, response)


def of_schemathesis(group: FailureGroup, request: Request, response: Response) -> Iterator[Finding]:
    """What its checks found, without what `excuse` explains."""
    for failure in group.exceptions:
        if not excuse(failure, request.case, response):
            yield Finding(type(failure).__name__, f"{failure.title}: {failure.message}")


def excuse(failure: Failure, case: AnyCase, response: Response) -> str:
    """Why this is no failure; empty where it is one."""
    told = _json(response)
    code = told.get("code", "") if isinstance(told, dict) else ""
    if isinstance(failure, AcceptedNegativeData) and not case.headers.get("Last-Event-ID", "-").strip():
        return "an empty Last-Event-ID is that of a client that has seen no event"
    if isinstance(failure, AcceptedNegativeData) and any(name.startswith("x-schemathesis-unknown") for name in case.headers):
        return "HTTP lets clients send headers that nobody knows"
    if isinstance(failure, AcceptedNegativeData) and case.meta is not None:
        wrong = {mutation.parameter for mutation in getattr(case.meta.phase.data, "mutations", ())}
        if wrong & {"Authorization", "X-API-Key"}:
            return "the caller's own key went in place of a wrong one"
    if isinstance(failure, RejectedPositiveData):
        return _why_rejected(code, told, case)
    return _UPSTREAMS.get((case.path.rpartition("/")[2], code.partition("-")[0]), "") if response.status_code in {502, 503, 504} else ""


_UPSTREAMS = {
    ("chat", "model"): "the provider failed, or a script said that it does",
    ("inspect", "mcp"): "nobody is at the address of an MCP server that was made up",
}


def _why_rejected(code: str, told: Any, case: AnyCase) -> str:
    """Rules that a JSON Schema cannot state, each by the place that the answer names."""
    if code in _RULES_BEYOND_SCHEMA:
        return _RULES_BEYOND_SCHEMA[code]
    pointers = [error["pointer"] for error in told.get("errors", [])]
    where = f"{case.operation.method.upper()} {case.path}"
    reasons = [_beyond_schema(where, pointer) for pointer in pointers]
    return "; ".join(sorted(set(reasons))) if reasons and all(reasons) else ""


def _beyond_schema(where: str, pointer: str) -> str:
    return next((reason for pattern, reason in _PLACES if re.fullmatch(pattern, f"{where} {pointer}", re.DOTALL)), "")


_RULES_BEYOND_SCHEMA: dict[str, str] = {
    "json-refused": "NUL, half surrogates and huge numbers are JSON, and cannot be kept",
    "malformed-request": "control characters in an address",
    "address-too-long": "the address is bounded as a whole",
    "model-unknown": "a model is named by its provider, and exists",
    "model-setting-unsupported": "a model takes the settings that its provider has",
    "model-attachment-refused": "a model takes the files that its provider takes",
    "egress-refused": "an attachment's address is one of the public network",
    "budget-exhausted": "a budget that another request made",
    "budget-unpriced": "a budget in dollars needs a model with a price",
    "openapi-document-refused": "a document is one of OpenAPI, and has the operations that are chosen",
    "openapi-tools-unknown": "an agent has tools that exist",
    "skill-unknown": "an agent has skills that exist",
    "mcp-server-unknown": "an agent or a prompt has tools of MCP servers that exist",
    "skill-invalid": "a skill's parts fit together, as the open format wants them",
    "skill-archive-refused": "an import is a folder of files with a SKILL.md",
    "upload-invalid": "an upload is a form with a file",
    "upload-malformed": "an upload is a form with a file",
    "embedder-missing": "vectors need an embedder",
    "reranker-missing": "ordering what was found needs a model that the operator names",
    "source-refused": "files are taken from where the operator allows",
    "source-missing": "files are taken from where there are some",
    "token-data-invalid": "what a token holds depends on its type",
    "idempotency-key-reused": "the same key came with another body before",
}
_PLACES: tuple[tuple[str, str], ...] = (
    (r".* /query/cursor", "a cursor is opaque, and only ours are taken"),
    (r"GET \S+ /query/(from|to)", "years that have a UTC in every zone"),
    (r"GET /v2/usage /query/group_by", "names differ from each other"),
    (r".*/tools/\d+/timezone", "a time zone exists, and belongs to current_time"),
    (r".*/tools", "a tool is listed once"),
    (r"(POST|PATCH) /v2/openapi-tools\S* /headers.*", "a header has a name that may be set, and names secrets that exist"),
    (r".* /path/collection_id", "a collection is an id"),
    (r"(POST|PATCH) /v2/skills\S* /(references|scripts)", "files of a skill differ in their names"),
    (
        r"(POST|PATCH) /v2/skills\S* /allowed_tools/\d+",
        "a tool's name has no space of any kind, of which the document's patterns know fewer",
    ),
    (r"POST /v2/webhooks/\S+/replay ", "one delivery, or all since a time"),
    (r"POST /v2/skills/import /files?(/.*)?", "an import is a folder's files, each with its name"),
    (r".* /expires_at", "what expires, expires later"),
    (r"POST \S+/chat /(attachments|model|variables).*", "a file is data or an address, the model exists, variables are the prompt's"),
    (r"(POST|PATCH) /v2/budgets\S* (/amount)?", "an amount has nine decimals, of tokens none; a key is named by its number, a tenant once"),
    (r"POST \S+/render ", "a version and a label at once"),
    (r"PUT \S+ /path/label", "a number or `latest` is a version"),
    (r"(POST|PATCH) /v2/teams\S* /agents.*", "members are agents that exist, each listed once, and one of them leads"),
    (
        r"POST /v2/jobs (/worker_pool|/target|/engine|/workspace|/job_spec.*|/worker_config.*)",
        "pools, targets and engines exist, a workspace is a tar",
    ),
    (r"(POST|PATCH) /v2/schedules\S* /(cron|timezone|request.*)", "a cron expression and a time zone exist, and nobody reads along"),
    (
        r"(POST|PATCH) /v2/mcp-servers\S* /(url|headers.*)",
        "an address is public, headers name credentials and hold none",
    ),
    (r"(PUT|PATCH) /v2/teams/\S+ /path/agent_id", "a member is an agent that exists"),
    (
        r"(POST|PATCH) /v2/(engines|targets)(/\{\w+\})? /(handler_config|connection_config|capacity).*",
        "what a config may say depends on the type beside it, and none holds a secret",
    ),
    (
        r"(POST|PATCH) /v2/agents(/\{\w+\})? (/config.*|/prompt_\w+)?",
        "an agent's fields have to hold together: its prompt, its models and its script",
    ),
)


def _as_problem(response: Response) -> Iterator[Finding]:
    kind = response.headers.get("content-type", [""])[0]
    if kind != "application/problem+json":
        yield Finding("problem_json", f"{response.status_code} came as {kind!r}")
        return
    told = _json(response)
    if not isinstance(told, dict):
        yield Finding("problem_json", "it is no JSON object")
        return
    problem = cast("dict[str, Any]", told)
    missing = [name for name in _MEMBERS if name not in problem]
    if missing:
        yield Finding("problem_json", f"it lacks {', '.join(missing)}")
        return
    code = problem["code"]
    if code not in Problem.registry or problem["type"] != f"/problems/{code}":
        yield Finding("problem_json", f"nobody knows its code {code!r} of type {problem['type']!r}")
    # An answer that is given again for its Idempotency-Key is the first one to the byte, the id of its request included.
    ids = [problem["request_id"]] if "idempotency-replayed" in response.headers else response.headers.get("x-request-id")
    if problem["status"] != response.status_code or [problem["request_id"]] != ids:
        yield Finding("problem_json", "its status or request_id is not that of the answer")


def _as_authorized(request: Request, response: Response) -> Iterator[Finding]:
    principal, status = request.principal, response.status_code
    if principal.is_stranger:
        if status != 401 and status not in _BEFORE_THE_KEY:
            yield Finding("keys_are_asked_for", f"a stranger was answered {status}")
        return
    told = _json(response)
    code = told.get("code") if isinstance(told, dict) else None
    if principal.may(request.alternatives):
        if status == 401 or code == "scope-missing":
            yield Finding("keys_open", f"a key that holds the scope was answered {status} {code}")
    elif status != 403 and status not in _BEFORE_THE_SCOPE:
        yield Finding("scopes_are_asked_for", f"a key without the scope was answered {status} {code}")


def _json(response: Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return None
