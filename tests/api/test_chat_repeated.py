"""A chat sent again with its Idempotency-Key is the same run (G4), as JSON and as a stream."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest
from tests.api.edge_scene import client_of

from pointsman.api.door import Door
from pointsman.kit.db import Connection


@pytest.fixture
async def client(whole: Door, admin: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(whole, admin) as client:
        agent = {"id": "support", "name": "Support", "template": "Be kind.", "config": {"model": "scripted:echo"}}
        assert (await client.post("/v2/agents", json=agent)).status_code == 201
        yield client


async def chat(client: httpx.AsyncClient, key: str, **body: Any) -> httpx.Response:
    return await client.post("/v2/agents/support/chat", json={"message": "Hello", **body}, headers={"idempotency-key": key})


async def test_copies_of_a_chat_are_one_run(client: httpx.AsyncClient, owner: Connection) -> None:
    answers: list[httpx.Response] = []

    async def send() -> None:
        answers.append(await chat(client, "k"))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert {answer.headers["location"] for answer in answers} == {f"/v2/runs/{answers[0].json()['run_id']}"}
    assert await owner.fetchval("SELECT count(*) FROM runs") == 1
    assert await owner.fetchval("SELECT count(*) FROM token_usage") == 1


async def test_a_streamed_chat_is_streamed_again_with_the_same_events(client: httpx.AsyncClient, owner: Connection) -> None:
    first, second = [await chat(client, "k", stream=True) for _ in range(2)]
    assert "event: run.completed" in first.text
    assert re.findall(r"^(?:id|event|data): .*$", second.text, re.MULTILINE) == re.findall(
        r"^(?:id|event|data): .*$", first.text, re.MULTILINE
    )
    assert second.headers["idempotency-replayed"] == "true"
    assert await owner.fetchval("SELECT count(*) FROM runs") == 1


async def test_a_chat_whose_process_died_after_its_run_began_is_that_run(client: httpx.AsyncClient, owner: Connection) -> None:
    first = await chat(client, "k")
    await owner.execute("UPDATE idempotency_keys SET status = NULL, answer = NULL, lease_until = now() - interval '1 s'")
    again = await chat(client, "k")
    assert again.json()["run_id"] == first.json()["run_id"]
    assert again.json()["content"] == first.json()["content"]
    assert await owner.fetchval("SELECT count(*) FROM runs") == 1
