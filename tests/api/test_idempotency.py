"""The same key and body give the same answer (G4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from tests.api.edge_scene import SmallGateway, client_of, make_app, make_key

from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings
from pointsman.web.idempotency import KEPT, Idempotency, IdempotencyKeyMalformed, parse_key
from pointsman.web.idempotency_queries import PURGE


async def post(client: httpx.AsyncClient, text: str, key: str, path: str = "/v2/notes", **headers: str) -> httpx.Response:
    return await client.post(path, json={"text": text}, headers={"idempotency-key": key, **headers})


async def until_claimed(owner: Connection) -> None:
    while not await owner.fetchval("SELECT count(*) FROM idempotency_keys"):
        await asyncio.sleep(0.01)


async def test_a_repetition_gets_the_first_answer(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    first, second, third = [await post(client, "a", key) for key in ('"k1"', "k1", '"k2"')]
    assert (first.status_code, first.json()["number"]) == (201, 1)
    assert (second.status_code, second.content, second.headers["location"]) == (201, first.content, first.headers["location"])
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert third.json()["number"] == 2
    assert gateway.notes.made == ["a", "a"]


async def test_another_body_or_query_is_refused(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    await post(client, "a", "k")
    for answer in (await post(client, "b", "k"), await post(client, "a", "k", "/v2/notes?x=1")):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert gateway.notes.made == ["a"]


async def test_a_key_is_scoped_to_its_tenant_caller_and_path(client: httpx.AsyncClient, owner: Connection, gateway: SmallGateway) -> None:
    other = await make_key(owner, "admin")
    await post(client, "a", "k")
    assert (await post(client, "b", "k", **{"x-pointsman-tenant": "acme"})).status_code == 201
    assert (await post(client, "c", "k", authorization=f"Bearer {other}")).status_code == 201
    assert (await client.post("/v2/say", json={"message": "a"}, headers={"idempotency-key": "k"})).status_code == 200
    assert gateway.notes.made == ["a", "b", "c"]


async def test_of_many_copies_one_is_served_and_all_get_its_answer(
    gateway: SmallGateway, settings: Settings, db: Database, admin: str, owner: Connection
) -> None:
    other_replica = SmallGateway(settings, db, keyring=gateway.keyring, notes=gateway.notes)
    gateway.notes.hold.clear()
    answers: list[httpx.Response] = []

    async with (
        client_of(make_app(gateway), admin) as one,
        client_of(make_app(other_replica), admin) as two,
        anyio.create_task_group() as group,
    ):

        async def send(client: httpx.AsyncClient) -> None:
            answers.append(await post(client, "a", "k"))

        for client in (one, two) * 10:
            group.start_soon(send, client)
        await until_claimed(owner)
        await asyncio.sleep(0.2)
        gateway.notes.hold.set()
    assert {answer.content for answer in answers} == {answers[0].content}
    assert {answer.status_code for answer in answers} == {201}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 19
    assert gateway.notes.made == ["a"]


async def test_a_copy_waits_for_a_while_and_is_then_told_to_come_back(
    gateway: SmallGateway, admin: str, db: Database, owner: Connection
) -> None:
    app = make_app(gateway)
    app._idempotency = Idempotency(db, gateway.keyring, patience=timedelta(seconds=0.2))
    gateway.notes.hold.clear()
    async with client_of(app, admin) as client, anyio.create_task_group() as group:
        group.start_soon(post, client, "a", "k")
        await until_claimed(owner)
        copy = await post(client, "a", "k")
        assert (copy.status_code, copy.json()["code"], copy.headers["retry-after"]) == (409, "idempotency-in-progress", "2")
        gateway.notes.hold.set()
    assert gateway.notes.made == ["a"]


async def test_a_record_left_by_a_dead_process_is_taken_over_with_its_run_id(
    client: httpx.AsyncClient, owner: Connection, gateway: SmallGateway
) -> None:
    said: dict[str, Any] = {"json": {"message": "a"}, "headers": {"idempotency-key": "k"}}
    await client.post("/v2/say", **said)
    run_id = await owner.fetchval(
        "UPDATE idempotency_keys SET status = NULL, answer = NULL, lease_until = now() - interval '1 s' RETURNING run_id"
    )
    other = await client.post("/v2/say", json={"message": "b"}, headers={"idempotency-key": "k"})
    assert other.json()["code"] == "idempotency-key-reused"
    again = await client.post("/v2/say", **said)
    assert again.json() == {"said": "a"}
    assert gateway.notes.runs == [(run_id, False, False), (run_id, True, False)]
    assert (await client.post("/v2/say", **said)).headers["idempotency-replayed"] == "true"
    assert len(gateway.notes.runs) == 2


async def test_a_lease_is_renewed_while_the_request_is_served(gateway: SmallGateway, admin: str, db: Database, owner: Connection) -> None:
    app = make_app(gateway)
    app._idempotency = Idempotency(db, gateway.keyring, lease=timedelta(seconds=0.3), patience=timedelta(seconds=5))
    gateway.notes.hold.clear()
    async with client_of(app, admin) as client, anyio.create_task_group() as group:
        group.start_soon(post, client, "a", "k")
        await until_claimed(owner)
        group.start_soon(post, client, "a", "k")
        await asyncio.sleep(1.2)
        gateway.notes.hold.set()
    assert gateway.notes.made == ["a"]


@pytest.mark.parametrize(
    ("how", "status", "kept"),
    [("defect", 500, False), ("unavailable", 503, False), ("deadlock", 409, False), ("unique", 409, True), ("range", 422, True)],
)
async def test_answers_that_may_change_are_not_kept(
    client: httpx.AsyncClient, gateway: SmallGateway, how: str, status: int, kept: bool
) -> None:
    for _ in range(2):
        assert (await client.post(f"/v2/notes/fail/{how}", headers={"idempotency-key": "k"})).status_code == status
    assert len(gateway.notes.made) == (1 if kept else 2)


async def test_a_key_that_may_not_leaves_nothing_behind(client: httpx.AsyncClient, owner: Connection) -> None:
    poor = await make_key(owner, "agents:read")
    assert (await post(client, "a", "k", authorization=f"Bearer {poor}")).status_code == 403
    assert (await post(client, "a", "k", authorization="Bearer pm_x")).status_code == 401
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_stream_is_replayed_by_its_run(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    sent: dict[str, Any] = {"json": {"message": "a", "stream": True}, "headers": {"idempotency-key": "k"}}
    first, second = await client.post("/v2/say", **sent), await client.post("/v2/say", **sent)
    assert second.content == first.content
    assert second.headers["content-type"].startswith("text/event-stream")
    assert second.headers["idempotency-replayed"] == "true"
    (run_id, *one), (same, *two) = gateway.notes.runs
    assert (run_id, one, two) == (same, [False, False], [False, True])


async def test_stored_answers_are_encrypted_and_bound_to_their_record(client: httpx.AsyncClient, owner: Connection) -> None:
    await post(client, "a very telling text", "k1")
    await post(client, "b", "k2")
    stored = await owner.fetchval("SELECT answer FROM idempotency_keys WHERE idempotency_key = 'k1'")
    assert "telling" not in stored
    await owner.execute("UPDATE idempotency_keys SET answer = $1", stored)
    assert (await post(client, "b", "k2")).json()["code"] == "secret-unreadable"


async def test_a_key_is_forgotten_after_a_day(client: httpx.AsyncClient, owner: Connection, db: Database, gateway: SmallGateway) -> None:
    await post(client, "a", "k1")
    await post(client, "a", "k2")
    await owner.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE idempotency_key = 'k1'")
    assert (await post(client, "b", "k1")).status_code == 201
    assert gateway.notes.made == ["a", "a", "b"]
    await owner.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE idempotency_key = 'k1'")
    async with db.connection() as connection:
        assert len(await connection.fetch(PURGE, KEPT, 10)) == 1
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 1


@pytest.mark.parametrize(
    ("header", "key"),
    [(b"abc", "abc"), (b'"abc"', "abc"), (b'"a b"', "a b"), (rb'"a\"b\\c"', r'a"b\c'), (b"8e03978e-40d5", "8e03978e-40d5"), (b"  k ", "k")],
)
def test_a_key_is_a_structured_string_or_bare(header: bytes, key: str) -> None:
    assert parse_key(header) == key


@pytest.mark.parametrize("header", [b"", b'""', b'"a', b'a"', b"a b", b'"a" "b"', b"\xc3\xa9", b'"\x01"', b"a" * 256, b'"a\\n"', b"a,b"])
def test_what_is_no_key_is_refused(header: bytes) -> None:
    with pytest.raises(IdempotencyKeyMalformed):
        parse_key(header)


async def test_a_malformed_key_does_nothing(client: httpx.AsyncClient, gateway: SmallGateway) -> None:
    answer = await post(client, "a", '"a')
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-malformed")
    assert gateway.notes.made == []
