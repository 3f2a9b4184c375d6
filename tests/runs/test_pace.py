from __future__ import annotations

import asyncio

import msgspec

from pointsman.runs.events import MESSAGE_DELTA, REASONING_DELTA, Event
from pointsman.runs.live import BLOCK, LiveRun, LiveRuns
from pointsman.runs.pace import TICK, Pace


def live(number: int = 1) -> LiveRun:
    return LiveRun(f"run_{number}", epoch=1, next_seq=1, reserved=BLOCK)


def crowded(run: LiveRun, *, crowd: int) -> Pace:
    """A pace for the run among two others."""
    runs = LiveRuns()
    for each in (run, live(2), live(3)):
        runs.add(each)
    return Pace(runs, crowd=crowd)


def texts(run: LiveRun) -> list[str]:
    return [msgspec.json.decode(event.data)["text"] for event in run.after(0)]


async def until(run: LiveRun, events: int) -> list[Event]:
    async with asyncio.timeout(10):
        while len(run.after(0)) < events:
            await run.changed()
    return run.after(0)


async def test_while_few_runs_speak_every_piece_is_an_event_of_its_own() -> None:
    run = live()
    pace = crowded(run, crowd=3)
    for word in ("one ", "two ", "three "):
        pace.say(run, MESSAGE_DELTA, 0, word)
    assert texts(run) == ["one ", "two ", "three "]


async def test_in_a_crowd_the_first_piece_goes_out_at_once_and_those_of_a_tick_are_one_event() -> None:
    run = live()
    pace = crowded(run, crowd=2)
    for word in ("one ", "two ", "three "):
        pace.say(run, MESSAGE_DELTA, 0, word)
    assert texts(run) == ["one "]
    await until(run, 2)
    assert texts(run) == ["one ", "two three "]


async def test_after_a_silence_a_piece_goes_out_at_once_again() -> None:
    run = live()
    pace = crowded(run, crowd=2)
    pace.say(run, MESSAGE_DELTA, 0, "one ")
    await asyncio.sleep(TICK * 1.5)
    pace.say(run, MESSAGE_DELTA, 0, "two ")
    assert texts(run) == ["one ", "two "]


async def test_what_is_held_goes_out_before_anything_else_that_is_said() -> None:
    run = live()
    pace = crowded(run, crowd=2)
    pace.say(run, REASONING_DELTA, 0, "hm ")
    pace.say(run, REASONING_DELTA, 0, "well ")
    pace.say(run, MESSAGE_DELTA, 0, "yes ")
    pace.say(run, MESSAGE_DELTA, 1, "again ")
    pace.release(run)
    assert texts(run) == ["hm ", "well ", "yes ", "again "]
    assert [event.type for event in run.after(0)] == [REASONING_DELTA, REASONING_DELTA, MESSAGE_DELTA, MESSAGE_DELTA]
    await asyncio.sleep(TICK * 2)
    assert len(run.after(0)) == 4


async def test_what_is_void_before_it_was_sent_is_never_sent() -> None:
    run = live()
    pace = crowded(run, crowd=2)
    pace.say(run, MESSAGE_DELTA, 0, "one ")
    pace.say(run, MESSAGE_DELTA, 0, "two ")
    pace.forget(run)
    await asyncio.sleep(TICK * 2)
    assert texts(run) == ["one "]


async def test_runs_of_a_crowd_are_each_released_in_their_own_time() -> None:
    runs, speakers = LiveRuns(), [live(number) for number in range(20)]
    for run in speakers:
        runs.add(run)
    pace = Pace(runs, crowd=2)
    for run in speakers:
        pace.say(run, MESSAGE_DELTA, 0, "first ")
        await asyncio.sleep(0.002)
        pace.say(run, MESSAGE_DELTA, 0, "held ")
    for run in speakers:
        await until(run, 2)
    assert {tuple(texts(run)) for run in speakers} == {("first ", "held ")}
