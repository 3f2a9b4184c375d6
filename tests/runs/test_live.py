from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pointsman.runs.events import MESSAGE_DELTA, RUN_COMPLETED, TOOL_CALLED, Event
from pointsman.runs.live import BLOCK, LiveRun, LiveRuns

KEPT = 64


def live(next_seq: int = 1) -> LiveRun:
    return LiveRun("run_1", epoch=1, next_seq=next_seq, reserved=BLOCK)


def numbers(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


@given(st.lists(st.sampled_from(["emit", "step", "flush"]), max_size=60), st.integers(1, 5000))
def test_ids_have_no_gap_and_nothing_is_stored_twice_or_forgotten(actions: list[str], first: int) -> None:
    run, stored = live(first), list[Event]()
    for action in actions:
        if action == "emit":
            run.emit(MESSAGE_DELTA, {})
        elif action == "flush":
            stored += (pending := run.take_pending())
            if pending:
                run.stored(pending[-1].seq)
        else:
            event = run.prepare(TOOL_CALLED, {})
            stored += [*run.take_pending(), event]
            run.publish([event])
    stored += run.take_pending()
    assert numbers(stored) == numbers(run.after(0)) == list(range(first, run.next_seq))


def test_what_could_not_be_stored_is_first_in_line_again() -> None:
    run = live()
    run.emit(MESSAGE_DELTA, {})
    taken = run.take_pending()
    run.emit(MESSAGE_DELTA, {})
    assert run.has_pending
    run.give_back(taken)
    assert numbers(run.take_pending()) == [1, 2]
    assert not run.has_pending


@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.data())
def test_memory_lets_go_only_of_what_is_stored_and_says_where_it_begins(portions: list[int], data: st.DataObject) -> None:
    run = live()
    stored = 0
    for portion in portions:
        for _ in range(portion):
            run.emit(MESSAGE_DELTA, {})
        stored = data.draw(st.integers(stored, run.next_seq - 1))
        run.stored(stored)
        assert run.base <= stored + 1
        assert numbers(run.after(run.base - 1)) == list(range(run.base, run.next_seq))
        assert len(run.after(0)) <= max(KEPT, run.next_seq - 1 - stored)
        after = data.draw(st.integers(run.base - 1, run.next_seq + 5))
        assert numbers(run.after(after)) == list(range(after + 1, run.next_seq))


def test_prepared_events_are_sent_only_when_they_are_published() -> None:
    run = live()
    event = run.prepare(RUN_COMPLETED, {})
    assert (run.after(0), run.ended) == ([], False)
    run.publish([event])
    assert (run.after(0), run.ended) == ([event], True)


async def test_every_listener_wakes_for_every_change_and_may_leave() -> None:
    run = live()
    listeners = [asyncio.create_task(run.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    listeners.pop().cancel()
    run.emit(MESSAGE_DELTA, {})
    await asyncio.gather(*listeners)
    again = asyncio.create_task(run.changed())
    await asyncio.sleep(0)
    assert not again.done()
    run.abandon()
    await again
    assert run.abandoned


def test_a_run_that_was_taken_back_is_not_removed_by_its_former_driver() -> None:
    runs, old, new = LiveRuns(), live(), live()
    runs.add(old)
    runs.add(new)
    runs.remove(old)
    assert (runs.find("run_1"), len(runs), list(runs)) == (new, 1, [new])
    runs.remove(new)
    assert (runs.find("run_1"), len(runs)) == (None, 0)
