"""What libraries raise, in our words."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

import pointsman
from pointsman.api.problems import STATUS, render, translate
from pointsman.kit.db import Database
from pointsman.kit.problems import FieldError, InvalidRequest, Kind, Unavailable

_INSERT = "INSERT INTO prompts.prompts (id, name, template) VALUES ($1, 'n', 't')"


@pytest.mark.parametrize(
    ("statement", "value", "code"),
    [
        (_INSERT, "twice", "conflict"),
        ("INSERT INTO api_key_lineage (key_id, family_id, hint) VALUES ($1, 1, 'h')", 77, "conflict"),
        ("INSERT INTO api_keys (name, key_hash, scopes, rate_limit) VALUES ($1, 'h', '[]', -1)", "x", "invalid-request"),
        ("SELECT id FROM api_keys WHERE id = $1", 2**40, "invalid-request"),
        ("SELECT id FROM api_keys WHERE name = $1", "a\x00b", "invalid-request"),
        ("INSERT INTO api_keys (name, key_hash, scopes) VALUES ($1, 'h', '[]')", "x" * 300, "invalid-request"),
    ],
)
async def test_what_postgresql_refuses_is_no_defect(db: Database, statement: str, value: object, code: str) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as raised:  # noqa: PT012 - the first of the two must pass
        async with db.transaction() as connection:
            if code == "conflict" and "prompts" in statement:
                await connection.execute(statement, value)
            await connection.execute(statement, value)
    problem = translate(raised.value)
    assert problem is not None
    assert problem.code == code


def test_a_defect_has_no_translation() -> None:
    assert translate(RuntimeError()) is None
    assert translate(KeyError("x")) is None


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(Kind)


def test_a_problem_on_the_wire() -> None:
    error = InvalidRequest("No.", hint="Try.", errors=(FieldError("/a", "Bad."),), status="mine", limit=3)
    status, headers, body = render(error, "req_1")
    assert status == 422
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert b'"status":422' in body
    assert b'"limit":3' in body
    assert b'"errors":[{"pointer":"/a","message":"Bad."}]' in body
    assert dict(render(Unavailable(retry_after=0.2), "r").headers)[b"retry-after"] == b"1"
    assert dict(render(Unavailable(retry_after=2.1), "r").headers)[b"retry-after"] == b"3"


def test_slices_name_no_status() -> None:
    source = Path(pointsman.__file__).parent
    named = [path for path in source.rglob("*.py") if "HTTPException" in path.read_text() and path.parent.name != "api"]
    assert not named, f"raise a Problem instead: {named}"
    assert not [path for path in source.rglob("routes.py") if re.search(r"JSONResponse\(.*status_code", path.read_text())]
