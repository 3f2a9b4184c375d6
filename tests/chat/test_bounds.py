"""The operator's bounds on runs: their number, their length and their model calls; past them the caller is told which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
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
        "limits": LimitSettings(live_runs=3, tenant_share=1),
        "runs": RunSettings(max_duration=timedelta(seconds=1), max_steps=3),
    }
    with serving_from_a_thread(dsn, settings) as url:
        caller = Caller(url, key)
        yield caller
        await caller.aclose()


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
    turns = [asyncio.create_task(bounded.try_chat(agent, "[[ttft=600]]")) for _ in range(3)]
    await asyncio.sleep(0.3)
    refused = await bounded.try_chat(agent, "one too many")
    assert (refused.status_code, refused.json()["code"]) == (503, "too-many-runs")
    assert "retry-after" in refused.headers
    assert [turn.status_code for turn in await asyncio.gather(*turns)] == [200] * 3
    assert (await bounded.chat(agent, "now"))["status"] == "completed"


async def test_a_turn_has_so_many_model_calls_and_no_more(bounded: Caller) -> None:
    agent, word = await bounded.agent(model="vllm:llama", tools=[{"type": "builtin", "name": "current_time"}]), unique("steps")
    assert (await bounded.chat(agent, f"{word} [[tool=current_time]] [[rounds=2]]"))["status"] == "completed"
    response = await bounded.try_chat(agent, f"{word} [[tool=current_time]] [[rounds=3]]")
    assert (response.status_code, response.json()["code"]) == (502, "model-too-many-steps")
