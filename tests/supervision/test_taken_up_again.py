"""Whoever dies, and wherever: a supervised run goes on from its last recorded step, and nothing of it happens twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from tests.supervision.supervision_scene import Supervision, fix, no_work

from pointsman.kit import failpoints
from pointsman.supervision.steps import TakenOver

SLOW = {"text": " ".join(["word"] * 200), "delay_ms": 10}
ANSWER = {"text": "It is repaired."}


async def killed(scene: Supervision, run_id: str, after: float) -> None:
    """A handler that is gone in the middle, without letting go of the run."""
    task = asyncio.create_task(scene.drive(run_id, "dead"))
    await asyncio.sleep(after)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await scene.owner.execute("UPDATE supervisor_details SET worker = 'dead', claims = 1")


async def test_a_call_that_was_cut_off_is_counted_by_estimate_and_made_again(scene: Supervision) -> None:
    await scene.team(no_work() | {"delay_ms": 200}, ANSWER)
    run_id = (await scene.ask()).run_id
    await killed(scene, run_id, 0.3)
    assert await scene.usage(run_id) == []
    await scene.drive(run_id)
    assert (await scene.run(run_id))["status"] == "completed"
    usage = await scene.usage(run_id)
    assert [estimated for *_, estimated in usage] == [True, False, False]
    assert usage[0][1] > 0
    assert (await scene.run(run_id))["result"]["usage"]["is_estimated"] is True


async def test_text_of_an_answer_that_was_cut_off_is_void(scene: Supervision) -> None:
    await scene.team(no_work(), SLOW)
    run_id = (await scene.ask()).run_id
    await killed(scene, run_id, 1.0)
    told = [name for name in await scene.names(run_id) if name == "message.delta"]
    assert told
    await scene.drive(run_id)
    names = await scene.names(run_id)
    assert names.count("message.reset") == 1
    after = (await scene.events(run_id))[names.index("message.reset") :]
    text = "".join(data["text"] for name, data in after if name == "message.delta")
    assert text == (await scene.run(run_id))["result"]["content"]


async def test_the_answer_leaves_in_batches_while_it_comes(scene: Supervision) -> None:
    await scene.team(no_work(), SLOW)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    deltas = [data["text"] for name, data in await scene.events(run_id) if name == "message.delta"]
    assert 3 <= len(deltas) <= 60
    assert "".join(deltas) == (await scene.run(run_id))["result"]["content"]


async def test_jobs_are_not_dispatched_twice_by_a_handler_that_was_presumed_dead(scene: Supervision) -> None:
    await scene.team(fix() | {"delay_ms": 200}, fix(), ANSWER)
    run_id = (await scene.ask()).run_id
    slow = asyncio.create_task(scene.drive(run_id, "slow"))
    await asyncio.sleep(0.3)  # it waits for its model
    await scene.drive(run_id, "quick")
    await slow
    assert len(await scene.job_ids(run_id)) == 1
    assert (await scene.names(run_id)).count("job.queued") == 1
    assert (await scene.story(run_id))["stage"] == "jobs"


async def test_while_a_handler_lives_another_message_comes_again_later(scene: Supervision) -> None:
    await scene.team(no_work() | {"delay_ms": 200}, ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.owner.execute(
        "UPDATE queue.pgqueuer SET status = 'picked', heartbeat = now() WHERE entrypoint LIKE 'supervise:%'",
    )
    slow = asyncio.create_task(scene.drive(run_id, "slow"))
    await asyncio.sleep(0.3)
    await scene.owner.execute(
        """
        INSERT INTO queue.pgqueuer (priority, entrypoint, payload, status, heartbeat)
        SELECT priority, entrypoint, payload, 'picked', now() FROM queue.pgqueuer WHERE entrypoint LIKE 'supervise:%'
        """
    )
    assert await scene.drive(run_id, "second") == timedelta(seconds=1)
    assert await slow is None
    assert await scene.drive(run_id, "second") is None
    assert (await scene.run(run_id))["epoch"] == 1
    assert [estimated for *_, estimated in await scene.usage(run_id)] == [False, False]


async def test_a_message_about_a_run_that_has_ended_does_nothing(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    before = await scene.events(run_id)
    assert await scene.drive(run_id) is None
    assert await scene.drive("run_unknown") is None
    assert await scene.events(run_id) == before


async def test_a_run_that_kills_its_workers_is_failed(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.owner.execute("UPDATE supervisor_details SET worker = 'dead', claims = $1", scene.settings.runs.max_redrives)
    await scene.drive(run_id)
    run = await scene.run(run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "run-interrupted")


@pytest.mark.parametrize(
    "point", ["supervision.ask", "supervision.classify", "supervision.step", "supervision.say", "supervision.end", "supervision.stop"]
)
@pytest.mark.parametrize("moment", ["before", "in", "after"])
async def test_every_write_is_tried_again_and_done_once(scene: Supervision, point: str, moment: str) -> None:
    """The connection is lost before the transaction, within it, and after its commit, of which nobody hears then."""
    await scene.team(fix(), {"text": " ".join(["word"] * 40), "delay_ms": 10})
    run_id = (await scene.ask()).run_id
    failpoints.arm([f"{point}.{moment}:error@1"])
    try:
        await scene.drive(run_id)
        [job] = await scene.job_ids(run_id)
        if point == "supervision.stop":
            await scene.owner.execute("UPDATE runs SET cancel_requested = true")
        else:
            await scene.finish(job)
        await scene.drive(run_id)
        assert failpoints.reached()[f"{point}.{moment}"] >= 1
    finally:
        failpoints.arm([])
    run = await scene.run(run_id)
    assert run["status"] == ("cancelled" if point == "supervision.stop" else "completed")
    assert await scene.job_ids(run_id) == [job]
    positions = await scene.owner.fetch("SELECT position FROM messages WHERE run_id = $1 ORDER BY position", run_id)
    assert [row["position"] for row in positions] == list(range(len(positions)))
    names = await scene.names(run_id)
    assert sum(name in {"run.completed", "run.failed", "run.cancelled"} for name in names) == 1
    if run["status"] == "completed":
        assert len(await scene.usage(run_id)) == 2
        deltas = [data["text"] for name, data in await scene.events(run_id) if name == "message.delta"]
        assert "".join(deltas) == run["result"]["content"]


@pytest.mark.parametrize("moment", ["before", "in", "after"])
async def test_a_claim_or_an_opening_that_is_lost_is_no_second_run(scene: Supervision, moment: str) -> None:
    await scene.team(no_work(), ANSWER)
    failpoints.arm([f"supervision.open.{moment}:error@1"])
    try:
        run_id = (await scene.ask()).run_id
    finally:
        failpoints.arm([])
    assert await scene.owner.fetchval("SELECT count(*) FROM runs") == 1
    assert await scene.messages() == [run_id]


async def test_a_former_owner_writes_nothing(scene: Supervision) -> None:
    await scene.team(no_work() | {"delay_ms": 200}, ANSWER)
    run_id = (await scene.ask()).run_id
    slow = asyncio.create_task(scene.drive(run_id, "slow"))
    await asyncio.sleep(0.2)
    await scene.owner.execute("UPDATE runs SET epoch = epoch + 1")
    with suppress(TakenOver):
        await slow
    assert await scene.names(run_id) == ["run.started"]
    assert (await scene.run(run_id))["status"] == "running"
