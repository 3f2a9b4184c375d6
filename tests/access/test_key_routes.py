"""Keys over HTTP, behind a door reduced to naming the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from tests.access.access_scene import Desk, authenticated

from pointsman.access.routes import router
from pointsman.access.service import KeyService
from pointsman.kit.db import Database
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Kind, Problem
from pointsman.web.deps import PRINCIPAL, SERVICES

STATUS = {Kind.NOT_FOUND: 404, Kind.CONFLICT: 409, Kind.FORBIDDEN: 403, Kind.INVALID: 422}
KEY = {"id", "name", "hint", "owner_id", "scopes", "rate_limit", "expires_at", "last_used_at", "created_at", "is_active"}


def app_for(principal: Principal, keys: KeyService) -> FastAPI:
    app = FastAPI()
    app.include_router(router)

    async def told(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, Problem)
        return JSONResponse({"code": problem.code, "detail": problem.detail}, STATUS[problem.kind])

    app.add_exception_handler(Problem, told)
    inner = app.build_middleware_stack()

    async def with_caller(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, PRINCIPAL: principal, "state": {SERVICES: {KeyService: keys}}}, receive, send)

    app.middleware_stack = with_caller
    return app


def client_for(principal: Principal, keys: KeyService) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app_for(principal, keys)), base_url="http://gateway.test")


@pytest.fixture
async def http(desk: Desk) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_for(desk.principal, desk.keys) as client:
        yield client


async def test_a_key_is_shown_once_when_it_is_made(http: httpx.AsyncClient, db: Database) -> None:
    made = await http.post("/v2/keys", json={"name": "robot", "scopes": ["agents:run"], "owner_id": "acme", "rate_limit": 100})
    assert made.status_code == 201
    body = made.json()
    assert made.headers["location"] == f"/v2/keys/{body['id']}"
    assert body.keys() == KEY | {"api_key"}
    assert (await authenticated(db, body["api_key"])).id == body["id"]
    read = await http.get(f"/v2/keys/{body['id']}")
    assert read.json() == {name: value for name, value in body.items() if name != "api_key"}
    assert read.json()["created_at"].endswith("Z")
    listed = (await http.get("/v2/keys", params={"owner_id": "acme"})).json()
    assert listed == {"items": [read.json()], "next_cursor": None}


async def test_a_key_is_edited_rotated_and_revoked(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v2/keys", json={"name": "robot", "scopes": ["agents:run"], "expires_at": "2099-01-01T00:00:00+02:00"})).json()
    place = f"/v2/keys/{made['id']}"
    assert made["expires_at"] == "2098-12-31T22:00:00.000Z"
    edited = (await http.patch(place, json={"expires_at": None, "rate_limit": 5})).json()
    assert (edited["expires_at"], edited["rate_limit"], edited["name"]) == (None, 5, "robot")
    rotated = await http.post(f"{place}/rotate", json={"overlap_seconds": 60})
    assert rotated.status_code == 201
    assert rotated.json().keys() == KEY | {"api_key", "rotated_from", "old_key_expires_at"}
    assert rotated.json()["rotated_from"] == made["id"]
    assert rotated.headers["location"] == f"/v2/keys/{rotated.json()['id']}"
    assert (await http.get(place)).json()["expires_at"] == rotated.json()["old_key_expires_at"]
    for _ in range(2):
        assert (await http.delete(place)).status_code == 204
    assert (await http.get(place)).json()["is_active"] is False
    inactive = (await http.get("/v2/keys", params={"is_active": False})).json()["items"]
    assert [key["id"] for key in inactive] == [made["id"]]


async def test_a_rotation_needs_no_body_and_bounds_its_overlap(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v2/keys", json={"name": "robot", "scopes": ["agents:run"]})).json()
    place = f"/v2/keys/{made['id']}/rotate"
    for overlap in (-1, 30 * 86400 + 1, 1.5, "60", None):
        assert (await http.post(place, json={"overlap_seconds": overlap})).status_code == 422
    assert (await http.post(place)).status_code == 201
    again = await http.post(place)
    assert (again.status_code, again.json()["code"]) == (409, "key-not-rotatable")


@pytest.mark.parametrize("text", ["0", "x", "1e3", "-1", "+1", "٣", "99999999999999999999", "2147483648", "1.0", "%00"])
async def test_an_id_that_cannot_be_one_is_not_found(http: httpx.AsyncClient, text: str) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = await http.request(method, f"/v2/keys/{text}{path}", json={"name": "x"} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "key-not-found")


async def test_another_tenants_key_answers_like_none(desk: Desk) -> None:
    acme, other = await desk.open("keys:write", owner_id="acme"), await desk.open("keys:write", owner_id="other")
    async with client_for(acme.principal, acme.keys) as http:
        hidden, missing = [await http.get(f"/v2/keys/{number}") for number in (other.principal.key_id, 999_999)]
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert hidden.text.replace(str(other.principal.key_id), "N") == missing.text.replace("999999", "N")


@pytest.mark.parametrize("moment", [4_102_444_800, "4102444800", "2099-01-01", "2099-01-01T00:00:00", True])
async def test_only_a_written_moment_with_its_zone_is_an_expiry(http: httpx.AsyncClient, moment: object) -> None:
    body = {"name": "worker", "scopes": ["agents:run"], "expires_at": moment}
    assert (await http.post("/v2/keys", json=body)).status_code == 422


async def test_unknown_fields_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v2/keys", json={"name": "x", "scopes": ["agents:run"], "ratelimit": 5})).status_code == 422


async def test_whoami_tells_the_key_and_where_it_works(desk: Desk) -> None:
    inside = desk.working_in("acme")
    async with client_for(inside.principal, inside.keys) as http:
        told = (await http.get("/v2/whoami")).json()
    assert told.keys() == KEY | {"tenant", "is_operator"}
    assert (told["id"], told["scopes"], told["tenant"], told["owner_id"], told["is_operator"]) == (
        desk.principal.key_id,
        ["admin"],
        "acme",
        None,
        True,
    )
