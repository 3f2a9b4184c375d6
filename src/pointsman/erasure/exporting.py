"""What an export holds: one statement a kind, read a page at a time along an index, so that neither side holds more than a page."""

from __future__ import annotations

from typing import NamedTuple

ROWS = 200


class Section(NamedTuple):
    """Statements for the first page and for those behind a place: $1 the tenant, $2 the user or null for all, $3 rows, then the place.

    A row has the line as JSON text and the place in the columns p1, p2, … .
    """

    first: str
    next: str
    keys: int


def _section(columns: str, source: str, where: str, *keys: tuple[str, str]) -> Section:
    names = [name for name, _ in keys]
    places = ", ".join(f"{name} AS p{number}" for number, name in enumerate(names, 1))
    behind = ", ".join(f"${number}::{kind}" for number, (_, kind) in enumerate(keys, 4))
    read = f"SELECT {places}, (SELECT row_to_json(c) FROM (SELECT {columns}) c)::text AS line FROM {source} WHERE {where}"  # noqa: S608 - made of constants
    order = f"ORDER BY {', '.join(names)} LIMIT $3"
    return Section(f"{read} {order}", f"{read} AND ({', '.join(names)}) > ({behind}) {order}", len(keys))


_MINE = "t.tenant_id = $1 AND ($2::varchar IS NULL OR t.user_id = $2)"
_MY_SESSION = "EXISTS (SELECT FROM sessions s WHERE s.tenant_id = $1 AND s.id = t.session_id AND ($2::varchar IS NULL OR s.user_id = $2))"
_MY_RUN = "EXISTS (SELECT FROM runs r WHERE r.id = t.run_id AND r.user_id = $2)"
_MY_JOB = f"t.tenant_id = $1 AND ($2::varchar IS NULL OR t.user_id = $2 OR {_MY_RUN})"
# A stored user is `<tenant>/<user>`, in the operator's own tenant the plain id.
_STORED_USER = """
CASE WHEN $2::varchar IS NOT NULL THEN t.user_id = CASE WHEN $1::varchar = '' THEN $2 ELSE $1 || '/' || $2 END
     WHEN $1 = '' THEN strpos(t.user_id, '/') = 0 ELSE starts_with(t.user_id, $1 || '/') END
"""

SECTIONS: dict[str, Section] = {
    "session": _section("t.*", "sessions t", _MINE, ("t.id", "varchar")),
    "message": _section(
        "t.session_id, t.run_id, t.position, t.role, t.content, t.created_at",
        "messages t",
        f"t.tenant_id = $1 AND {_MY_SESSION}",
        ("t.session_id", "varchar"),
        ("t.created_at", "timestamptz"),
        ("t.run_id", "varchar"),
        ("t.position", "int"),
    ),
    "run": _section(
        "t.id, t.kind, t.subject, t.status, t.session_id, t.user_id, t.request, t.result, t.error, t.created_at, t.completed_at",
        "runs t",
        _MINE,
        ("t.ordinal", "bigint"),
    ),
    "supervised_run": _section(
        "s.*, t.run_id",
        "supervisor_details t JOIN supervisor_runs s ON s.id = t.supervisor_run_id",
        "t.tenant_id = $1 AND ($2::varchar IS NULL OR s.user_id = $2)",
        ("t.run_id", "varchar"),
    ),
    "job": _section(
        "j.*, t.run_id, t.user_id, t.job_spec",
        "job_details t JOIN execution_jobs j ON j.id = t.job_id",
        _MY_JOB,
        ("t.ordinal", "bigint"),
    ),
    "memory": _section("t.*", "memories t", _MINE, ("t.id", "varchar")),
    "usage": _section(
        "u.*, t.run_id, t.call, t.cached_tokens, t.reasoning_tokens, t.cost",
        "usage_details t JOIN token_usage u ON u.id = t.usage_id",
        "t.tenant_id = $1 AND ($2::varchar IS NULL OR u.user_id = $2)",
        ("t.usage_id", "int"),
    ),
    "budget": _section(
        "t.id, t.name, t.subject_type, t.subject_id, t.unit, t.period, t.is_active, t.created_at",
        "budgets t",
        "t.tenant_id = $1 AND ($2::varchar IS NULL OR t.subject_type = 'user' AND t.subject_id = $2)",
        ("t.number", "bigint"),
    ),
    # What a credential is for, never the credential.
    "credential": _section(
        "t.integration_key, t.provider, t.token_type, t.scopes, t.expires_at, t.created_at", "user_tokens t", _STORED_USER, ("t.id", "int")
    ),
    "credential_use": _section("t.integration_key, t.provider, t.run_id, t.tool, t.at", "token_uses t", _MINE, ("t.id", "bigint")),
    "knowledge": _section("t.*", "knowledge_entries t", "t.tenant_id = $1 AND $2::varchar IS NULL", ("t.id", "uuid")),
    "key": _section(
        "t.id, t.name, t.scopes, t.rate_limit, t.expires_at, t.last_used_at, t.is_active, t.created_at",
        "api_keys t",
        "t.owner_id = $1 AND $2::varchar IS NULL",
        ("t.id", "int"),
    ),
}
