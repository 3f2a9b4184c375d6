"""What every request passes, in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import httpx
import pytest
from tests.api.edge_scene import SmallGateway, client_of, make_app, make_key

from pointsman.api.door import Door
from pointsman.kit.db import Connection, Database
from pointsman.settings import LimitSettings, Settings


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["code"]


async def test_a_request_with_a_good_key_is_served(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    answer = await client.post("/v2/notes", json={"text": "one"})
    assert (answer.status_code, answer.json()) == (201, {"number": 1, "text": "one", "tenant": None})
    assert answer.headers["location"] == "/v2/notes/1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert gateway.notes.made == ["one"]


async def test_the_other_header_works_too(stranger: httpx.AsyncClient, admin: str) -> None:
    assert (await stranger.get("/v2/notes/1", headers={"x-api-key": admin})).status_code == 200
    both = await stranger.get("/v2/notes/1", headers={"x-api-key": admin, "authorization": f"Bearer {admin}"})
    assert both.status_code == 200
    differing = await stranger.get("/v2/notes/1", headers={"x-api-key": admin, "authorization": "Bearer pm_other"})
    assert code_of(differing) == (400, "malformed-request")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer pm_junk"},
        {"x-api-key": ""},
        {"x-api-key": "pm_ü"},
    ],
)
async def test_without_a_good_key_nothing_is_served(stranger: httpx.AsyncClient, gateway: SmallGateway, headers: dict[str, str]) -> None:
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = await stranger.post("/v2/notes", json={"text": "one"}, headers=sent)
    assert code_of(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="pointsman"'
    assert gateway.notes.made == []


async def test_a_revoked_key_is_refused(stranger: httpx.AsyncClient, owner: Connection) -> None:
    key = await make_key(owner, "admin")
    await owner.execute("UPDATE api_keys SET is_active = false")
    assert code_of(await stranger.get("/v2/notes/1", headers={"x-api-key": key})) == (401, "unauthenticated")


async def test_a_key_without_the_scope_is_told_which(stranger: httpx.AsyncClient, owner: Connection, gateway: SmallGateway) -> None:
    key = await make_key(owner, "prompts:read")
    answer = await stranger.post("/v2/notes", json={"text": "one"}, headers={"x-api-key": key})
    assert code_of(answer) == (403, "scope-missing")
    assert answer.json()["scopes"] == ["prompts:write"]
    assert gateway.notes.made == []
    either = await make_key(owner, "agents:write")
    assert (await stranger.delete("/v2/notes/1", headers={"x-api-key": either})).status_code == 204


async def test_an_operator_names_a_tenant_and_nobody_else_does(stranger: httpx.AsyncClient, admin: str, owner: Connection) -> None:
    async def make_note(key: str, tenant: str) -> httpx.Response:
        return await stranger.post("/v2/notes", json={"text": "x"}, headers={"x-api-key": key, "x-pointsman-tenant": tenant})

    assert (await make_note(admin, "acme")).json()["tenant"] == "acme"
    assert code_of(await make_note(admin, "../acme")) == (422, "invalid-request")
    assert code_of(await make_note(admin, "")) == (422, "invalid-request")
    owned = await make_key(owner, "admin", owner_id="acme")
    assert code_of(await make_note(owned, "acme")) == (403, "tenant-not-yours")
    answer = await stranger.post("/v2/notes", json={"text": "x"}, headers={"x-api-key": owned})
    assert answer.json()["tenant"] == "acme"


async def test_the_hourly_limit_counts_each_authenticated_request_once_whatever_its_answer(
    stranger: httpx.AsyncClient, owner: Connection, gateway: SmallGateway
) -> None:
    key = {"x-api-key": await make_key(owner, "prompts:read", owner_id="acme", rate_limit=5)}
    answers = [
        await stranger.get("/v2/notes/1", headers=key),
        await stranger.get("/v2/notes/1?limit=99", headers=key),
        await stranger.post("/v2/notes", json={}, headers=key),
        await stranger.post("/v2/notes/fail/defect", headers=key),
        await stranger.get("/v2/notes/1", headers={**key, "x-pointsman-tenant": "other"}),
        await stranger.get("/v2/notes/1", headers=key),
        await stranger.get("/v2/notes/1", headers=key),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 403, 500, 403, 429, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0", "0"]
    assert answers[0].headers["ratelimit-policy"] == '"hourly";q=5;w=3600'
    assert answers[0].headers["ratelimit"].startswith('"hourly";r=4;t=')
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert code_of(answers[-1]) == (429, "rate-limited")
    assert await owner.fetchval("SELECT used FROM rate_windows") == 5
    assert (await stranger.get("/v2/nothing", headers=key)).status_code == 404
    assert b"pointsman_http_rate_limited_total 2.0" in gateway.metrics.render()


async def test_an_unknown_path_is_the_same_for_everybody(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    for who in (client, stranger):
        assert code_of(await who.get("/v2/nothing")) == (404, "not-found")
        assert code_of(await who.get("/v2/notes/1/")) == (404, "not-found")
        assert code_of(await who.get("/v2/notes/a%2Fb/c")) == (404, "not-found")
        wrong = await who.put("/v2/notes/1")
        assert code_of(wrong) == (405, "method-not-allowed")
        assert wrong.headers["allow"] == "DELETE, GET"


async def test_an_encoded_slash_is_part_of_an_id(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/notes/a%2Fb")).json()["number"] == "a/b"
    assert (await client.get("/v2/notes/%C3%A9")).json()["number"] == "é"


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/v2/notes/1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await client.head("/v2/notes")).status_code == 405


async def test_a_sane_request_id_is_kept_and_another_made(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/notes/1", headers={"x-request-id": "abc-123"})).headers["x-request-id"] == "abc-123"
    for mad in ("a b", "x" * 200, "<script>", ""):
        assert (await client.get("/v2/notes/1", headers={"x-request-id": mad})).headers["x-request-id"].startswith("req_")


async def test_a_wrong_body_gets_pointers_and_a_suggestion(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    answer = await client.post("/v2/notes", json={"txt": "a", "count": "many", "inner": {"color": "blue"}})
    assert code_of(answer) == (422, "invalid-request")
    errors = {error["pointer"]: error["message"] for error in answer.json()["errors"]}
    assert errors["/text"] == "Field 'text' is required."
    assert errors["/txt"] == "Unknown field 'txt'. Did you mean 'text'?"
    assert errors["/inner/color"] == "Unknown field 'color'. Did you mean 'colour'?"
    assert "integer" in errors["/count"]
    assert "many" not in answer.text
    query = await client.get("/v2/notes/1?limit=99")
    assert query.json()["errors"][0]["pointer"] == "/query/limit"
    assert gateway.notes.made == []


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (None, b'{"text":"a"}', (415, "unsupported-media-type")),
        ("text/plain", b'{"text":"a"}', (415, "unsupported-media-type")),
        ("application/x-www-form-urlencoded", b"text=a", (415, "unsupported-media-type")),
        ("application/json; charset=utf-16", '{"text":"a"}'.encode("utf-16"), (415, "unsupported-media-type")),
        ("application/json", b"", (422, "invalid-request")),
        ("application/json", b" ", (400, "malformed-request")),
        ("application/json", b"null", (422, "invalid-request")),
        ("application/json", b"{", (400, "malformed-request")),
        ("application/json", b'{"text":"\xff"}', (400, "malformed-request")),
        ("application/json", b'\xef\xbb\xbf{"text":"a"}', (400, "malformed-request")),
        ("application/json", b'{"text":"\\u0000"}', (422, "json-refused")),
        ("application/json", b'{"text":"\\ud800"}', (422, "json-refused")),
        ("application/json", b'{"text":"a","text":"b"}', (422, "json-refused")),
        ("application/json", b'{"text":"a","count":12345678901234567890}', (422, "json-refused")),
        ("application/json", b'{"text":"a","count":NaN}', (422, "json-refused")),
        ("application/json", b'{"text":' + b"[" * 100 + b"]" * 100 + b"}", (422, "json-refused")),
        ("application/vnd.note+json; charset=UTF-8", b'{"text":"a"}', (201, None)),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(
    client: httpx.AsyncClient, gateway: SmallGateway, content_type: str | None, body: bytes, expected: tuple[int, str | None]
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await client.post("/v2/notes", content=body, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == expected
    assert len(gateway.notes.made) == (answer.status_code == 201)


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/notes", json={"text": "a"}, headers={"content-encoding": "gzip"})
    assert code_of(answer) == (415, "unsupported-media-type")


async def test_a_header_given_twice_is_refused(app: Door, admin: str) -> None:
    async with client_of(app) as client:
        answer = await client.get("/v2/notes/1", headers=[("x-api-key", admin), ("x-api-key", "pm_other")])
        assert code_of(answer) == (400, "malformed-request")


@pytest.mark.parametrize("path", ["/v2/notes/%00", "/v2/notes/%ff", "/v2/notes/%ED%A0%80", "/v2/notes/a%0Ab", "/v2/notes/" + "a" * 2000])
async def test_a_path_that_cannot_be_read_is_refused(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert code_of(answer)[0] in {400, 413}


@pytest.mark.parametrize("query", ["limit=%00", "limit=%ff", "x=%ED%A0%80", "x=" + "a" * 9000, "limit=99999999999999999999", "limit=a"])
async def test_a_query_that_cannot_be_read_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v2/notes/1?{query}")
    assert code_of(answer)[0] in {400, 413, 422}


async def test_a_large_body_is_refused_before_anybody_is_asked_who_sends_it(settings: Settings, db: Database, admin: str) -> None:
    small = settings.model_copy(update={"limits": LimitSettings(body_bytes=1024, chat_body_bytes=4096)})
    gateway = SmallGateway(small, db)

    async def chunks() -> AsyncGenerator[bytes]:
        yield b'{"text":"'
        for _ in range(100):
            yield b"x" * 100

    async with client_of(make_app(gateway)) as client:
        declared = await client.post("/v2/notes", content=b"x" * 1025)
        assert code_of(declared) == (413, "body-too-large")
        assert code_of(await client.post("/v2/notes", content=chunks())) == (401, "unauthenticated")
        key = {"x-api-key": admin, "content-type": "application/json"}
        assert code_of(await client.post("/v2/notes", content=chunks(), headers=key)) == (413, "body-too-large")
    assert gateway.notes.made == []
    assert b'pointsman_http_shed_total{bound="body"} 2.0' in gateway.metrics.render()


async def test_a_defect_says_nothing_but_its_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/notes/fail/defect")
    assert code_of(answer) == (500, "internal")
    assert "secret-value" not in answer.text


async def test_what_slips_through_to_the_database_is_the_callers_value(client: httpx.AsyncClient) -> None:
    unique = await client.post("/v2/notes/fail/unique")
    assert code_of(unique) == (409, "conflict")
    assert "secret-value" not in unique.text
    assert code_of(await client.post("/v2/notes/fail/range")) == (422, "invalid-request")
    away = await client.post("/v2/notes/fail/unavailable")
    assert code_of(away) == (503, "unavailable")
    assert away.headers["retry-after"] == "1"


async def test_past_the_bound_of_requests_a_problem_is_answered_at_once(settings: Settings, db: Database, admin: str) -> None:
    gateway = SmallGateway(settings.model_copy(update={"limits": LimitSettings(connections=1)}), db)
    gateway.notes.hold.clear()
    async with client_of(make_app(gateway), admin) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.post("/v2/notes", json={"text": "held"}))
            await anyio.wait_all_tasks_blocked()
            while True:
                answer = await client.get("/v2/notes/1")
                if answer.status_code == 503:
                    break
            assert code_of(answer) == (503, "too-busy")
            assert answer.headers["retry-after"] == "1"
            assert (await client.get("/livez")).status_code == 200
            gateway.notes.hold.set()
        assert (await client.get("/v2/notes/1")).status_code == 200
