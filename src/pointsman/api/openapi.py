"""The OpenAPI document: FastAPI's part, the plain Starlette routes' part, and what the edge adds to every operation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

import pointsman
from pointsman.api import failures
from pointsman.api.routing import Endpoint
from pointsman.kit.ids import CHOSEN_ID
from pointsman.web.openapi import EVENT_STREAM, JSON, Answer, DescribedRoute, Operation, Parameter

_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{([^{}/]+)\}")
_DESCRIPTION = """
A self-hosted gateway for AI agents. Authenticate with `Authorization: Bearer pm_…` or `X-API-Key`. Every failure is an RFC 9457
problem whose `code` has a page at `/problems/{code}`. Requests of a key with an hourly limit are answered with RateLimit fields.
"""


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    catalogue = [endpoint.route for endpoint in endpoints if isinstance(endpoint.route, APIRoute)]
    made = get_openapi(title="Pointsman", version=pointsman.__version__, description=_DESCRIPTION.strip(), routes=catalogue)
    paths: dict[str, Any] = made.setdefault("paths", {})
    components: dict[str, Any] = made.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    components["headers"] = {"X-Request-Id": _REQUEST_ID}
    components["responses"] = failures.components()
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `pm_…`."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for endpoint in endpoints:
        if isinstance(endpoint.route, DescribedRoute):
            paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = _operation(endpoint, endpoint.route.operation, schemas)
    for endpoint in endpoints:
        _add_edge(paths[endpoint.template][endpoint.method.lower()], endpoint)
    # FastAPI describes its own shape of a 422, which nobody sees here.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return made


def _operation(endpoint: Endpoint, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary, "tags": [operation.tag]}
    if operation.description:
        made["description"] = operation.description
    named = {parameter.name for parameter in operation.parameters}
    path = [Parameter(name, where="path", required=True) for name in _PARAMETER.findall(endpoint.template) if name not in named]
    made["parameters"] = [_parameter(parameter) for parameter in (*path, *operation.parameters)]
    if operation.body is not None:
        schema = _schema(operation.body, schemas)
        form = {} if operation.form is None else {"multipart/form-data": {"schema": dict(operation.form)}}
        made["requestBody"] = {"required": operation.body_required, "content": {JSON: {"schema": schema}, **form}}
    made["responses"] = {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
    return made


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {"name": parameter.name, "in": parameter.where, "required": parameter.required, "schema": dict(parameter.schema)}
    return made | ({"description": parameter.description} if parameter.description else {})


def _answer(answer: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.model is not None:
        content[JSON] = {"schema": _schema(answer.model, schemas)}
    if answer.media:
        content[answer.media] = {"schema": {"type": "object" if answer.media == JSON else "string"}}
    if answer.stream:
        content[EVENT_STREAM] = {"schema": _EVENT}
    made: dict[str, Any] = {"description": answer.description}
    return made | ({"headers": dict(answer.headers)} if answer.headers else {}) | ({"content": content} if content else {})


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Where a pydantic model of the same name is described already, the two are the same body: that one stays."""
    (schema,), found = msgspec.json.schema_components((kind,), ref_template=_REFERENCE)
    for name, description in found.items():
        schemas.setdefault(name, description)
    return schema


def _add_edge(operation: dict[str, Any], endpoint: Endpoint) -> None:
    """What the edge does for every route alike."""
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    for answer in responses.values():
        answer["headers"] = failures.EVERY_ANSWER | answer.get("headers", {})
    responses |= failures.responses(endpoint)
    policy = endpoint.policy
    if policy.public:
        operation["security"] = []
        return
    # OpenAPI 3.1 lets any scheme name what it must hold; each of several scopes is an alternative of its own.
    operation["security"] = [{scheme: list(held)} for held in _alternatives(policy.scopes) for scheme in ("bearer", "header")]
    if policy.scopes:
        needs = f"Scope: {' or '.join(f'`{scope}`' for scope in policy.scopes)}."
        operation["description"] = "\n\n".join(part for part in (operation.get("description"), needs) if part)
    added = [_TENANT, _IDEMPOTENCY] if endpoint.method == "POST" and policy.replayed else [_TENANT]
    operation["parameters"] = [*_list(operation.get("parameters")), *(_parameter(parameter) for parameter in added)]


def _alternatives(scopes: Sequence[str]) -> list[tuple[str, ...]]:
    return [(scope,) for scope in scopes] or [()]


def _list(value: Iterable[Any] | None) -> list[Any]:
    return list(value or ())


_TENANT = Parameter("X-Pointsman-Tenant", "header", "Operator keys only: the tenant to work in.", {"type": "string", "pattern": CHOSEN_ID})
_IDEMPOTENCY = Parameter(
    "Idempotency-Key",
    "header",
    "The same key and body get the same answer for 24 hours.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r'^("([ !#-\[\]-~]|\\["\\])+"|[!#-+\--~]+)$'},
)
_REQUEST_ID: dict[str, Any] = {
    "required": True,
    "description": "The request's own `X-Request-Id` where it is well formed, else made here.",
    "schema": {"type": "string"},
}
# Before OpenAPI 3.2 the schema of an event stream describes each event of it.
_EVENT: dict[str, Any] = {
    "description": "One server-sent event; `id` is its number within the run.",
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": JSON},
    },
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "`/problems/{code}`, a page that explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; switch on this."},
        "request_id": {"type": "string"},
        "hint": {"type": "string", "description": "What to do about it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {"pointer": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
