"""Which problems an operation can answer with, as the OpenAPI document says it: per status, with the headers that come along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pointsman.api.routing import Endpoint
from pointsman.web.openapi import DescribedRoute

PROBLEM_JSON = "application/problem+json"
EVERY_ANSWER: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def responses(endpoint: Endpoint) -> dict[str, Any]:
    """The failures of one operation, by status; FastAPI's `responses` and `Operation.problems` add what is the slice's own."""
    return {str(status): {"$ref": f"#/components/responses/{_NAMES[status]}"} for status in sorted(set(_statuses(endpoint)))}


def components() -> dict[str, Any]:
    """The failures that operations refer to, and 405, which belongs to the methods that are not there."""
    return {name: _response(status) for status, name in _NAMES.items()}


def _statuses(endpoint: Endpoint) -> Iterator[int]:
    yield from (400, 413, 503)
    keyed = not endpoint.policy.public
    if keyed:
        yield from (401, 403, 422, 429)
    if endpoint.parameters or endpoint.takes_json:
        yield 404
    if keyed and endpoint.method != "GET":
        yield 409
    if endpoint.takes_json:
        yield 415
    if isinstance(endpoint.route, DescribedRoute):
        yield from endpoint.route.operation.problems


def _response(status: int) -> dict[str, Any]:
    headers = EVERY_ANSWER | {name: _HEADERS[name] for name in _WITH.get(status, ())}
    return {"description": _DESCRIPTIONS[status], "headers": headers, "content": {PROBLEM_JSON: {"schema": _SCHEMA}}}


_DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "There is no key, or none that works.",
    403: "The key lacks the scope, or may not do this.",
    404: "Nothing has this id for this key; what is another tenant's looks like this too.",
    405: "The path exists, but not with this method.",
    409: "It contradicts what is stored.",
    413: "The body, or the address, is too large.",
    415: "The body is not JSON in UTF-8, or it is compressed.",
    422: "The request can be read and is wrong; `errors` says where.",
    429: "Too many requests.",
    502: "The model's provider answered badly.",
    503: "Not possible right now.",
    504: "The model's provider did not answer in time.",
}
_NAMES = {
    400: "Malformed",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    413: "TooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    502: "BadGateway",
    503: "Unavailable",
    504: "GatewayTimeout",
}
_HEADERS: dict[str, Any] = {
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "Allow": {"required": True, "description": "The methods that the path has.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
}
_WITH = {401: ("WWW-Authenticate",), 405: ("Allow",), 409: ("Retry-After",), 429: ("Retry-After",), 503: ("Retry-After",)}
