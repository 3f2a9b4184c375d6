"""The operator's bounds on runs: their number, their length and their model calls; past them the caller is told which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, names, unique
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread

from pointsman.kit.db import Connection
from pointsman.settings import KeyRingSettings, LimitSettings, ProviderSettings, RunSettings


@pytest.fixture
async def bounded(dsn: str, tmp_path: Path, scene: Scene) -> AsyncGenerator[Caller]:
    """A gateway that drives three runs at a time, each for a second and three model calls."""
    key = await admin_key(dsn, tmp_path)
    settings = {
        "data_dir": tmp_path / "data",
        "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]}),
        "providers": {"vllm": ProviderSettings(base_url=scene.upstream.openai_url)},
        "limits": LimitSettings(live_runs=3, streams=2, bodies_bytes=20_000, tenant_share=0.7),
        "runs": RunSettings(max_duration=timedelta(seconds=1), max_steps=3),
    }
    with serving_from_a_thread(dsn, settings) as url:
        caller = Caller(url, key)
        yield caller
        await caller.aclose()


@asynccontextmanager
async def tenants(caller: Caller, *names: str) -> AsyncGenerator[list[Caller]]:
    """Callers of so many tenants."""
    callers: list[Caller] = []
    for name in names:
        key = await caller.post("/v2/keys", {"name": name, "owner_id": name, "scopes": ["agents:run", "runs:read"]})
        callers.append(Caller(str(caller.http.base_url), key["api_key"]))
    try:
        yield callers
    finally:
        for each in callers:
            await each.aclose()


async def under_way(caller: Caller, runs: int) -> None:
    async with asyncio.timeout(20):
        while len((await caller.get("/v2/runs", status="running"))["items"]) < runs:
            await asyncio.sleep(0.01)


async def test_a_run_that_takes_too_long_fails_and_what_it_cost_is_counted(bounded: Caller, owner: Connection) -> None:
    agent = await bounded.agent(model="vllm:llama")
    async with bounded.stream(agent, "[[n=500 itl=10]]") as reader:
        events = await reader.rest()
    assert names(events)[-2:] == ["usage.recorded", "run.failed"]
    assert events[-1].data["error"]["code"] == "run-timed-out"
    assert events[-1].data["content"].startswith("tok0 tok1 ")
    response = await bounded.try_chat(agent, "[[ttft=30000]]")
    assert (response.status_code, response.json()["code"]) == (504, "run-timed-out")
    rows = await owner.fetch("SELECT is_estimated, prompt_tokens, completion_tokens FROM token_usage ORDER BY id")
    assert [row["is_estimated"] for row in rows] == [True, True]
    assert all(row["prompt_tokens"] > 0 for row in rows)
    assert rows[0]["completion_tokens"] > 0


async def test_more_runs_than_a_process_drives_are_refused_until_one_has_ended(bounded: Caller) -> None:
    agent = await bounded.agent(model="vllm:llama")
    await bounded.chat(agent, "the first call loads what calls need")
    async with tenants(bounded, "acme", "globex") as (acme, globex):
        turns = [asyncio.create_task(caller.try_chat(agent, "[[ttft=800]]")) for caller in (acme, acme, globex)]
        await under_way(bounded, 3)
        refused = await globex.try_chat(agent, "one too many")
        assert (refused.status_code, refused.json()["code"]) == (503, "too-many-runs")
        assert "retry-after" in refused.headers
        assert [turn.status_code for turn in await asyncio.gather(*turns)] == [200] * 3
        assert (await globex.chat(agent, "now"))["status"] == "completed"


async def test_one_tenant_never_has_all_runs_of_a_process(bounded: Caller) -> None:
    agent = await bounded.agent(model="vllm:llama")
    await bounded.chat(agent, "the first call loads what calls need")
    async with tenants(bounded, "acme", "globex") as (acme, globex):
        turns = [asyncio.create_task(acme.try_chat(agent, "[[ttft=800]]")) for _ in range(2)]
        await under_way(bounded, 2)
        refused = await acme.try_chat(agent, "beyond the share")
        assert (refused.status_code, refused.json()["code"]) == (503, "too-many-runs")
        assert (await globex.chat(agent, "there is room for others"))["status"] == "completed"
        assert [turn.status_code for turn in await asyncio.gather(*turns)] == [200] * 2


async def test_more_streams_than_a_process_serves_are_refused_before_a_run_begins(bounded: Caller) -> None:
    agent = await bounded.agent(model="vllm:llama")
    async with tenants(bounded, "acme", "globex") as (acme, globex):
        async with acme.stream(agent, "[[n=40 itl=20]]") as first, globex.stream(agent, "[[n=40 itl=20]]") as second:
            await first.take(1)
            await second.take(1)
            refused = await globex.try_chat(agent, "one too many", stream=True)
            assert (refused.status_code, refused.json()["code"]) == (503, "too-many-streams")
            assert "retry-after" in refused.headers
            follow = await globex.http.get(f"/v2/runs/{second.run_id}/events")
            assert follow.status_code == 503
            await second.rest()
        runs = (await bounded.get("/v2/runs"))["items"]
        assert len(runs) == 2


async def test_bodies_that_are_under_way_are_bounded_together(bounded: Caller) -> None:
    agent = await bounded.agent(model="vllm:llama")
    url, sent = bounded.http.base_url, asyncio.Event()

    async def slowly() -> AsyncGenerator[bytes]:
        yield b'{"message": "' + b"x" * 15_000
        sent.set()
        await asyncio.sleep(1)
        yield b'"}'

    slow = asyncio.create_task(
        bounded.http.post(f"{url}/v2/agents/{agent}/chat", content=slowly(), headers={"content-type": "application/json"})
    )
    await sent.wait()
    await asyncio.sleep(0.2)
    refused = await bounded.try_chat(agent, "y" * 10_000)
    assert (refused.status_code, refused.json()["code"]) == (503, "too-busy")
    assert "retry-after" in refused.headers
    assert (await bounded.chat(agent, "a small one"))["status"] == "completed"
    assert (await slow).status_code == 200
    assert (await bounded.chat(agent, "y" * 10_000))["status"] == "completed"


async def test_a_turn_has_so_many_model_calls_and_no_more(bounded: Caller) -> None:
    agent, word = await bounded.agent(model="vllm:llama", tools=[{"type": "builtin", "name": "current_time"}]), unique("steps")
    assert (await bounded.chat(agent, f"{word} [[tool=current_time]] [[rounds=2]]"))["status"] == "completed"
    response = await bounded.try_chat(agent, f"{word} [[tool=current_time]] [[rounds=3]]")
    assert (response.status_code, response.json()["code"]) == (502, "model-too-many-steps")
