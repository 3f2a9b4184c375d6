"""A supervised run from its request to its answer: classified, dispatched, summed up."""

from __future__ import annotations

import json

import pytest
from tests.supervision.supervision_scene import Supervision, fix, no_work

ANSWER = {"text": "It is repaired."}


async def test_an_accepted_request_is_rows_an_event_and_a_message(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER)
    accepted = await scene.ask(user_id="ann", session_id="s1")
    assert (accepted.status, accepted.events) == ("pending", f"/v2/runs/{accepted.run_id}/events")
    assert await scene.messages() == [accepted.run_id]
    story = await scene.story(accepted.run_id)
    assert str(story["id"]) == accepted.supervisor_run_id
    assert (story["status"], story["team_id"], story["session_id"], story["user_id"]) == ("pending", "crew", "s1", "ann")
    assert story["user_message"] == "It is broken."
    [(name, started)] = await scene.events(accepted.run_id)
    assert name == "run.started"
    assert (started["kind"], started["team_id"], started["agent_id"]) == ("supervised", "crew", "boss")


async def test_a_job_goes_out_comes_back_and_is_summed_up(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER, coding={"allowed_commands": ["true"]})
    run_id = (await scene.ask()).run_id
    assert await scene.drive(run_id) is None
    story = await scene.story(run_id)
    assert (story["status"], story["stage"], story["worker_agent_id"]) == ("running", "jobs", "worker-coding")
    assert story["response"]["classification"] == "code_fix"
    assert story["response"]["jobs"][0]["max_memory_mb"] == 4096
    [job] = await scene.job_ids(run_id)
    assert await scene.messages("job") == [str(job)]
    await scene.messages()
    await scene.finish(job, result={"status": "done", "output": "OK"})
    assert await scene.messages() == [run_id]  # it was the last one
    await scene.drive(run_id)

    run, story = await scene.run(run_id), await scene.story(run_id)
    assert run["status"] == story["status"] == "completed"
    assert run["result"]["content"] == story["execution_output"] == "It is repaired."
    assert run["result"]["supervisor"]["jobs"] == [str(job)]
    assert story["completed_at"] is not None
    names = await scene.names(run_id)
    assert names[0] == "run.started"
    assert [name for name in names if name not in {"message.delta", "usage.recorded"}] == [
        *("run.started", "message.completed", "job.queued", "job.started", "job.finished", "message.completed", "run.completed")
    ]
    assert names.count("usage.recorded") == 2
    end = (await scene.events(run_id))[-1][1]
    assert end["usage"]["total_tokens"] == sum(prompt + completion for _, prompt, completion, _ in await scene.usage(run_id))


async def test_the_leader_is_told_what_came_of_the_jobs_as_data(scene: Supervision) -> None:
    await scene.team(fix(jobs=[{"objective": "One."}, {"objective": "Two."}]), {"text": "{message}"})
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    one, two = await scene.job_ids(run_id)
    await scene.messages()
    await scene.finish(one, result={"output": "all is well"})
    assert await scene.messages() == []  # the other one still lives
    await scene.finish(two, "failed", reason="exit: the command ended with 3")
    assert await scene.messages() == [run_id]
    await scene.drive(run_id)
    told = (await scene.run(run_id))["result"]["content"]
    for word in ("Objective: One.", "all is well", "Job 2", "failed", "exit: the command ended with 3", "no instruction"):
        assert word in told


@pytest.mark.parametrize("kind", ["answer_only", "no_action"])
async def test_what_needs_no_worker_is_answered_by_the_leader(scene: Supervision, kind: str) -> None:
    await scene.team(no_work(kind), {"text": "Forty-two."})
    run_id = (await scene.ask("How many?")).run_id
    await scene.drive(run_id)
    run = await scene.run(run_id)
    assert (run["status"], run["result"]["content"]) == ("completed", "Forty-two.")
    assert run["result"]["supervisor"]["classification"] == kind
    assert await scene.job_ids(run_id) == []
    assert [who for who, _ in await scene.said(run_id)] == ["user", "assistant", "user", "assistant"]


async def test_an_answer_that_is_no_classification_is_repaired_once(scene: Supervision) -> None:
    await scene.team({"text": "I would fix it."}, {"text": "```json\n" + json.dumps(no_work()["output"]) + "\n```"}, ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    assert (await scene.run(run_id))["status"] == "completed"
    [(_, first), (_, complaint), *_] = (await scene.said(run_id))[1:]
    assert first == "I would fix it."
    assert "it is not JSON" in complaint
    assert len(await scene.usage(run_id)) == 3


async def test_a_second_faulty_classification_fails_the_run_with_what_was_wrong(scene: Supervision) -> None:
    await scene.team(fix(risk_level="enormous"))
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    run, story = await scene.run(run_id), await scene.story(run_id)
    assert run["status"] == story["status"] == "failed"
    assert run["error"]["code"] == "classification-invalid"
    assert "/risk_level" in run["error"]["detail"]
    assert len(await scene.usage(run_id)) == 2
    assert (await scene.names(run_id))[-1] == "run.failed"


async def test_the_leader_is_held_to_the_schema_and_told_its_workers_and_engines(scene: Supervision) -> None:
    await scene.team({"text": "{system}"}, coding={}, verifier={})
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    system = (await scene.said(run_id))[1][1]
    assert "You are boss." in system
    assert "worker-coding (coding): worker-coding helps" in system
    assert "worker-verifier (verifier)" in system


async def test_a_model_that_fails_fails_the_run(scene: Supervision) -> None:
    await scene.team({"error": {"status": 400, "message": "no"}})
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    run = await scene.run(run_id)
    assert run["status"] == "failed"
    assert run["error"]["code"] == "model-rejected"


async def test_the_turn_stands_in_its_session_and_the_next_one_knows_of_it(scene: Supervision) -> None:
    await scene.team(no_work(), {"text": "It is Tuesday."}, no_work(), {"text": "{transcript}"})
    first = (await scene.ask("Which day?", session_id="s")).run_id
    await scene.drive(first)
    second = (await scene.ask("Are you sure?", session_id="s")).run_id
    await scene.drive(second)
    transcript = (await scene.run(second))["result"]["content"]
    assert transcript.startswith("user: Which day?\nassistant: It is Tuesday.\nuser: Are you sure?")
