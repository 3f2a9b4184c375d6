"""How a failure becomes an RFC 9457 answer: the one table of statuses, and what other libraries raise in our words."""

from __future__ import annotations

import html
import http
import inspect
from typing import Any, NamedTuple

import asyncpg
import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pointsman.kit.problems import InternalProblem, InvalidRequest, Kind, NotFound, Problem
from pointsman.web.validation import invalid_request

MEDIA_TYPE = b"application/problem+json"

STATUS = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD: 405,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.INVALID: 422,
    Kind.LIMITED: 429,
    Kind.INTERNAL: 500,
    Kind.UPSTREAM: 502,
    Kind.UNAVAILABLE: 503,
    Kind.UPSTREAM_TIMEOUT: 504,
}


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>{title}</title></head>
<body><h1>{title}</h1>
{said}
<p><small>{code}, request {request_id}</small></p>
</body></html>
"""


class MalformedRequest(Problem):
    """The request cannot be read: its path, query, a header or its body breaks the rules of HTTP, UTF-8 or JSON.

    The detail says what and where. Nothing was done; correct it and send it again.
    """

    kind = Kind.MALFORMED
    code = "malformed-request"
    title = "The request cannot be read"


class MethodNotAllowed(Problem):
    """The path exists, but not with this method. The `Allow` header lists the methods it has."""

    kind = Kind.METHOD
    code = "method-not-allowed"
    title = "Method not allowed"


class BodyTooLarge(Problem):
    """The body is larger than this route takes. The detail says the limit, which is a setting of the operator."""

    kind = Kind.TOO_LARGE
    code = "body-too-large"
    title = "The body is too large"


class UnsupportedMediaType(Problem):
    """The body's `Content-Type` or `Content-Encoding` is not one that this route takes. Bodies are JSON in UTF-8, not compressed."""

    kind = Kind.UNSUPPORTED
    code = "unsupported-media-type"
    title = "Unsupported media type"


class Conflict(Problem):
    """The change contradicts what is stored, usually because another request changed the same thing at the same time.

    Read it again, and repeat the change if it still applies.
    """

    kind = Kind.CONFLICT
    code = "conflict"
    title = "Conflict"


class Rendered(NamedTuple):
    """A problem on the wire."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def render(problem: Problem, request_id: str) -> Rendered:
    """The answer to a problem."""
    status = STATUS[problem.kind]
    members: dict[str, Any] = {
        **problem.fields,
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.hint:
        members["hint"] = problem.hint
    if problem.errors:
        members["errors"] = [error._asdict() for error in problem.errors]
    body = msgspec.json.encode(members)
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, -int(-problem.retry_after // 1))))
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="pointsman"'))
    return Rendered(status, headers, body)


def render_page(problem: Problem, request_id: str) -> Rendered:
    """The same for a person with a browser; whatever the problem quotes is escaped."""
    rendered = render(problem, request_id)
    said = [f"<p>{html.escape(text)}</p>" for text in (problem.detail, problem.hint) if text]
    title = html.escape(problem.title)
    body = _PAGE.format(title=title, said="\n".join(said), code=problem.code, request_id=html.escape(request_id)).encode()
    kept = [(name, value) for name, value in rendered.headers if name not in {b"content-type", b"content-length"}]
    return Rendered(rendered.status, [*kept, (b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))], body)


def page(code: str) -> str | None:
    """What a code means, in Markdown."""
    known = Problem.registry.get(code)
    if known is None:
        return None
    return f"# {known.title}\n\n`{code}` · HTTP {STATUS[known.kind]}\n\n{inspect.cleandoc(known.__doc__ or '')}\n"


def translate(error: Exception, body_model: Any = None) -> Problem | None:
    """An exception of a library in our words; None for one that is a defect."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _of_validation(error, body_model)
        case HTTPException():
            return _of_http(error)
        case _:
            return _of_database(error)


def _of_validation(error: RequestValidationError, body_model: Any) -> Problem:
    errors = list(error.errors())
    if any(item["loc"][0] == "path" for item in errors):
        # An id that does not parse names nothing.
        return NotFound("Nothing has this id.")
    return invalid_request(errors, body_model)


def _of_http(error: HTTPException) -> Problem:
    known: dict[int, type[Problem]] = {
        404: NotFound,
        405: MethodNotAllowed,
        413: BodyTooLarge,
        415: UnsupportedMediaType,
        422: InvalidRequest,
    }
    if error.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InternalProblem()
    return known.get(error.status_code, MalformedRequest)(str(error.detail))


def _of_database(error: Exception) -> Problem | None:
    """What a service let slip through to PostgreSQL is the caller's value, not our failure."""
    match error:
        case asyncpg.UniqueViolationError() | asyncpg.ForeignKeyViolationError() | asyncpg.ExclusionViolationError():
            return Conflict("It contradicts something that is stored already.")
        case asyncpg.SerializationError() | asyncpg.DeadlockDetectedError() | asyncpg.LockNotAvailableError():
            return Conflict("Another request changed the same thing at the same time.", retry_after=1)
        case asyncpg.IntegrityConstraintViolationError() | asyncpg.DataError() | asyncpg.ProgramLimitExceededError():
            return InvalidRequest("A value is outside of what can be stored.")
        case _:
            return None
