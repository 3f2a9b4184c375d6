"""The same turn sent again under one `Idempotency-Key` happens once: JSON gets the same bytes, a stream its run's events."""

from __future__ import annotations

import asyncio

import pytest
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, text_of, unique


async def test_a_repeated_turn_gets_the_same_bytes_and_happens_once(scene: Scene, caller: Caller, elsewhere: Caller) -> None:
    word, key = unique("once"), {"idempotency-key": unique("key")}
    agent = await caller.agent()
    first = await caller.try_chat(agent, f"{word} [[n=3]]", headers=key)
    again = [await other.try_chat(agent, f"{word} [[n=3]]", headers=key) for other in (caller, elsewhere, caller)]
    assert first.status_code == 200
    for answer in again:
        assert (answer.status_code, answer.content, answer.headers["location"]) == (200, first.content, first.headers["location"])
        assert answer.headers["idempotency-replayed"] == "true"
    assert len(scene.asked(word)) == 1
    other = await caller.try_chat(agent, f"{word} other [[n=3]]", headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_turns_sent_at_once_under_one_key_happen_once(scene: Scene, caller: Caller, elsewhere: Caller) -> None:
    word, key = unique("together"), {"idempotency-key": unique("key")}
    agent = await caller.agent()
    callers = [caller, elsewhere] * 4
    answers = await asyncio.gather(*(other.try_chat(agent, f"{word} [[n=3 ttft=300]]", headers=key) for other in callers))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(scene.asked(word)) == 1


@pytest.mark.parametrize("when", ["running", "ended"])
async def test_a_repeated_stream_is_replayed_by_its_run(scene: Scene, caller: Caller, elsewhere: Caller, when: str) -> None:
    word, key = unique("stream"), {"idempotency-key": unique("key")}
    agent = await caller.agent()
    message = f"{word} [[n=20 itl=20]]"
    async with caller.stream(agent, message, headers=key) as reader:
        taken = await reader.take(3)
    if when == "ended":
        await caller.ended(reader.run_id)
    for other in (caller, elsewhere):
        async with other.stream(agent, message, headers=key) as repeated:
            events = await repeated.rest()
        assert repeated.run_id == reader.run_id
        assert events[:3] == taken
        assert text_of(events) == events[-1].data["content"] == "".join(f"tok{i} " for i in range(20))
    assert len(scene.asked(word)) == 1


async def test_a_turn_that_failed_may_be_sent_again_under_its_key(caller: Caller) -> None:
    word, key = unique("failed"), {"idempotency-key": unique("key")}
    agent = await caller.agent(model="vllm:llama")
    message = f"{word} [[n=2 fault=400;fail_times=1]]"
    assert (await caller.try_chat(agent, message, headers=key)).status_code == 502
    answer = await caller.try_chat(agent, message, headers=key)
    assert (answer.status_code, answer.json()["content"]) == (200, "tok0 tok1 ")


async def test_a_key_is_its_tenants_own(scene: Scene, caller: Caller, tenants: tuple[Caller, Caller]) -> None:
    word, key = unique("mine"), {"idempotency-key": unique("key")}
    agent = await caller.agent()
    answers = [(await tenant.try_chat(agent, word, headers=key)).json()["run_id"] for tenant in tenants]
    assert len(set(answers)) == 2
    assert len(scene.asked(word)) == 2
