"""Runs: found, filtered, cancelled from anywhere, and streams that resume by event id on any replica, also after the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import WIRES, each_wire
from tests.e2e.calling import Caller, Event, names, text_of, unique

LONG = "[[n=500 itl=10]]"  # goes on until somebody stops it


async def test_runs_are_listed_newest_first_and_filtered(caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    session, user = unique("session"), unique("user")
    made = [(await caller.chat(agent, "hi", session_id=session, user_id=user))["run_id"] for _ in range(3)]
    failed = (await caller.try_chat(agent, "[[fault=400]]", user_id=user)).json()["run_id"]
    elsewhere = (await caller.chat(other, "hi", user_id=user))["run_id"]

    async def ids(**query: str) -> list[str]:
        return [run["id"] for run in (await caller.get("/v2/runs", **query))["items"]]

    assert await ids(user_id=user) == [elsewhere, failed, *reversed(made)]
    assert await ids(subject=agent) == [failed, *reversed(made)]
    assert await ids(session_id=session) == list(reversed(made))
    assert await ids(user_id=user, status="failed") == [failed]
    assert await ids(user_id=user, status="cancelled") == []
    walked: list[str] = []
    page = await caller.get("/v2/runs", user_id=user, limit=2)
    while True:
        walked += [run["id"] for run in page["items"]]
        if page["next_cursor"] is None:
            break
        page = await caller.get("/v2/runs", user_id=user, limit=2, cursor=page["next_cursor"])
    assert walked == [elsewhere, failed, *reversed(made)]
    for query in ({"status": "odd"}, {"limit": "0"}, {"cursor": "nonsense"}):
        assert (await caller.http.get("/v2/runs", params=query)).status_code == 422


async def test_a_run_that_is_unknown_or_anothers_looks_the_same(caller: Caller, tenants: tuple[Caller, Caller]) -> None:
    one, two = tenants
    agent = await caller.agent()
    run_id = (await one.chat(agent, "hi"))["run_id"]
    assert (await one.get(f"/v2/runs/{run_id}"))["id"] == run_id
    assert (await caller.get(f"/v2/runs/{run_id}"))["tenant_id"] is not None
    assert (await two.get("/v2/runs"))["items"] == []
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/resume")):
        foreign = await two.http.request(method, f"/v2/runs/{run_id}{path}")
        unknown = await two.http.request(method, f"/v2/runs/{run_id[:-4]}zzzz{path}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["code"] == unknown.json()["code"] == "run-not-found"
        assert foreign.json().keys() == unknown.json().keys()
    assert (await one.get(f"/v2/runs/{run_id}"))["status"] == "completed"


@pytest.mark.parametrize("run_id", ["nonsense", "run_", "run_x%00y", "r" * 300, "..%2f..", "%F0%9F%98%80"])
async def test_an_id_that_names_no_run_is_refused_quietly(caller: Caller, run_id: str) -> None:
    for path in (f"/v2/runs/{run_id}", f"/v2/runs/{run_id}/events"):
        assert 400 <= (await caller.http.get(path)).status_code < 500
    assert 400 <= (await caller.http.post(f"/v2/runs/{run_id}/cancel")).status_code < 500


@each_wire
async def test_a_cancelled_stream_ends_at_once_and_its_tokens_are_estimated(scene: Scene, caller: Caller, model: str) -> None:
    word = unique("cancel")
    agent = await caller.agent(model=model)
    async with caller.stream(agent, f"{word} {LONG}") as reader:
        before = await reader.take(4)
        run = await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
        after = await reader.rest()
    assert run["status"] == "cancelled"
    assert run["completed_at"] is not None
    assert names(after)[-2:] == ["usage.recorded", "run.cancelled"]
    assert after[-1].data["status"] == "cancelled"
    assert run["content"] == after[-1].data["content"] == text_of([*before, *after])
    (row,) = await scene.usage_of(reader.run_id)
    assert row["is_estimated"]
    assert row["completion_tokens"] > 0
    assert row["prompt_tokens"] > 0
    async with asyncio.timeout(5):
        while not scene.asked(word)[0]["aborted"]:
            await asyncio.sleep(0.02)
    again = await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
    assert again == run
    assert await caller.replay(reader.run_id) == [*before, *after]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_waiting_client_is_told_that_its_run_was_cancelled(scene: Scene, caller: Caller, elsewhere: Caller, where: str) -> None:
    agent, session = await caller.agent(), unique("session")
    waiting = asyncio.create_task(caller.chat(agent, f"{session} [[ttft=30000]]", session_id=session))
    other = caller if where == "here" else elsewhere
    run_id = await running_in(caller, session)
    async with asyncio.timeout(20):
        while not scene.asked(session):  # else it may be cancelled before anybody was asked, and have cost nothing
            await asyncio.sleep(0.01)
    run = await other.post(f"/v2/runs/{run_id}/cancel", {})
    assert run["status"] == "cancelled"
    answer = await waiting
    assert (answer["status"], answer["run_id"], answer["content"]) == ("cancelled", run_id, "")
    assert answer["usage"]["is_estimated"]
    assert answer["usage"] == run["usage"]
    assert (await caller.chat(agent, "next", session_id=session))["status"] == "completed"


async def test_a_stream_is_cancelled_from_another_replica(caller: Caller, elsewhere: Caller) -> None:
    agent = await caller.agent()
    async with caller.stream(agent, LONG) as reader:
        await reader.take(4)
        assert (await elsewhere.post(f"/v2/runs/{reader.run_id}/cancel", {}))["status"] == "cancelled"
        assert (await reader.rest())[-1].name == "run.cancelled"


async def test_cancelling_and_ending_at_the_same_moment_has_one_outcome(scene: Scene, caller: Caller) -> None:
    agent = await caller.agent(model="scripted:quick", script={"turns": [{"text": "one two three", "delay_ms": 4}]})

    async def race(delay: float) -> None:
        session = unique("session")
        turn = asyncio.create_task(caller.chat(agent, "go", session_id=session))
        run_id = await running_in(caller, session, or_ended=True)
        await asyncio.sleep(delay)
        cancelled = await caller.http.post(f"/v2/runs/{run_id}/cancel")
        answer = await asyncio.wait_for(turn, 10)
        run = await caller.get(f"/v2/runs/{run_id}")
        assert answer["status"] == run["status"]
        assert (cancelled.status_code, run["status"]) in {(200, "cancelled"), (200, "completed"), (409, "completed")}
        events = await caller.replay(run_id)
        assert [event.name for event in events if event.name.startswith("run.") and event.name != "run.started"] == [f"run.{run['status']}"]
        assert len(await scene.usage_of(run_id)) <= 1

    for _ in range(4):
        await asyncio.gather(*(race(number * 0.002) for number in range(6)))


async def test_a_run_that_has_ended_is_neither_cancelled_nor_resumed(caller: Caller) -> None:
    agent = await caller.agent()
    run_id = (await caller.chat(agent, "hi"))["run_id"]
    for verb in ("cancel", "resume"):
        response = await caller.http.post(f"/v2/runs/{run_id}/{verb}")
        assert (response.status_code, response.json()["code"]) == (409, "run-ended")
    async with caller.stream(agent, LONG) as reader:
        await reader.take(2)
        response = await caller.http.post(f"/v2/runs/{reader.run_id}/resume")
        assert (response.status_code, response.json()["code"]) == (409, "run-is-running")
        await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})


CUTS = (1, 2, 3, 5, 8, 11, 14, 17, 20, 22)
STORY = '[[n=16 itl=12 think=3]] [[tool=current_time;args={"timezone":"Asia/Tokyo"}]]'


async def assert_same(caller: Caller, run_id: str, taken: Sequence[Event], resumed: Sequence[Event], verbosity: str) -> None:
    whole = await caller.replay(run_id, verbosity=verbosity)
    assert [*taken, *resumed] == whole
    assert len({event.id for event in whole}) == len(whole)
    assert whole[-1].name == "run.completed"
    assert text_of(whole) == whole[-1].data["content"] == "".join(f"tok{i} " for i in range(16))


@pytest.mark.parametrize("model", [WIRES["compatible"], WIRES["anthropic"], "scripted:story"])
@pytest.mark.parametrize("where", ["here", "elsewhere", "here-ended", "elsewhere-ended"])
async def test_a_stream_cut_at_ten_events_resumes_to_the_same_bytes(caller: Caller, elsewhere: Caller, model: str, where: str) -> None:
    config: dict[str, Any] = {"tools": [{"type": "builtin", "name": "current_time"}]}
    if model.startswith("scripted"):
        text = "".join(f"tok{i} " for i in range(16))
        calls = [{"name": "current_time", "args": {}}]
        config["script"] = {"turns": [{"tool_calls": calls, "reasoning": "let me see"}, {"text": text, "delay_ms": 12}]}
    agent = await caller.agent(model=model, **config)
    other = elsewhere if where.startswith("elsewhere") else caller

    async def one(cut: int) -> None:
        async with caller.stream(agent, STORY, stream_verbosity="full") as reader:
            taken = await reader.take(cut)
        if where.endswith("ended"):
            await caller.ended(reader.run_id)
        resumed = await other.replay(reader.run_id, after=taken[-1].id)
        await assert_same(caller, reader.run_id, taken, resumed, "full")
        assert [event.id for event in [*taken, *resumed]] == list(range(1, len(taken) + len(resumed) + 1))

    await asyncio.gather(*(one(cut) for cut in CUTS))


@pytest.mark.parametrize("verbosity", ["full", "events", "result"])
async def test_a_resumed_stream_has_its_own_verbosity_and_the_ids_of_the_full_one(caller: Caller, verbosity: str) -> None:
    agent = await caller.agent(model=WIRES["compatible"])
    async with caller.stream(agent, "[[n=5 itl=5 think=4]]", stream_verbosity="full") as reader:
        full = await reader.rest()
    whole = await caller.replay(reader.run_id, verbosity=verbosity)
    for after in (0, full[0].id, full[4].id, full[-2].id):
        assert await caller.replay(reader.run_id, after, verbosity) == [event for event in whole if event.id > after]
    assert all(event in full for event in whole)
    assert await caller.replay(reader.run_id, full[-1].id, verbosity) == []


async def test_the_query_resumes_like_the_header_which_goes_first(caller: Caller) -> None:
    agent = await caller.agent()
    run_id = (await caller.chat(agent, "[[n=4]]"))["run_id"]
    whole = await caller.replay(run_id)
    by_query = await caller.http.get(f"/v2/runs/{run_id}/events", params={"after": "2"})
    assert [f"id: {event.id}" in by_query.text for event in whole] == [event.id > 2 for event in whole]
    both = await caller.http.get(f"/v2/runs/{run_id}/events", params={"after": "1"}, headers={"last-event-id": str(whole[-2].id)})
    assert both.text.count("event: ") == 1
    for odd in ("-1", "abc", "1e3", "99999999999999999999", "1.5", "٣", "0x1"):
        response = await caller.http.get(f"/v2/runs/{run_id}/events", params={"after": odd})
        assert response.status_code == 422, odd
    assert (await caller.http.get(f"/v2/runs/{run_id}/events", headers={"last-event-id": "x"})).status_code == 422
    assert (await caller.http.get(f"/v2/runs/{run_id}/events", params={"stream_verbosity": "loud"})).status_code == 422


async def test_many_readers_of_one_run_see_the_same(caller: Caller, elsewhere: Caller) -> None:
    agent = await caller.agent()
    async with caller.stream(agent, "[[n=30 itl=10]]") as reader:
        await reader.take(1)
        readers = [other.replay(reader.run_id, after) for other in (caller, elsewhere) for after in (None, 0, 3, 7)]
        seen = await asyncio.gather(*readers)
        rest = await reader.rest()
    whole = await caller.replay(reader.run_id)
    assert whole[1:] == rest
    for events, after in zip(seen, (0, 0, 3, 7) * 2, strict=True):
        assert events == whole[after:]


async def test_a_long_answer_outgrows_memory_and_reserved_ids_without_a_gap(caller: Caller) -> None:
    agent = await caller.agent(model="scripted:long", script={"turns": [{"text": "word " * 3000}]})
    async with caller.stream(agent, "go", stream_verbosity="full") as reader:
        events = await reader.rest()
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert len(events) > 3000
    assert text_of(events) == events[-1].data["content"] == "word " * 3000
    assert await caller.replay(reader.run_id, 2000, "full") == events[2000:]


async def running_in(caller: Caller, session: str, *, or_ended: bool = False) -> str:
    """The run that has begun in a session."""
    async with asyncio.timeout(10):
        while True:
            runs = (await caller.get("/v2/runs", session_id=session))["items"]
            if runs and (or_ended or runs[0]["status"] == "running"):
                return runs[0]["id"]
            await asyncio.sleep(0.005)
