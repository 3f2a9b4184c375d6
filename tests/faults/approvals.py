"""Approvals decided by two clients at once, and with every process stopped before the decision and between it and its effect.

One decision counts, the other is answered 409 with the first one inside; an approved call takes effect exactly once, a denied one never,
and its model hears why. Chats remember a fact by their tool; jobs of `direct_ops` run a command in a sandbox.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.faults.clients import BROKEN
from tests.faults.fleet import Fleet
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Replica, Stage

from pointsman.kit.db import Record, connect

AT_ONCE = 10
PATIENCE = 60.0  # seconds for what was decided to come to its end
CRASHED = 4  # runs that wait, in each round in which everything is stopped


@dataclass
class Play:
    """What is asked for and what it came to."""

    stage: Stage
    counts: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])

    async def fetch(self, query: str, *values: object) -> list[Record]:
        connection = await connect(self.stage.dsn, role=None)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def asked(self, fact: str) -> tuple[str, str]:
        """A paused run that would remember the fact, and its approval."""
        turns = [{"tool_calls": [{"name": "memory", "args": {"action": "remember", "content": fact}, "id": "c1"}]}, {"text": "Done."}]
        config: dict[str, Any] = {"script": {"turns": turns}, "worker_config": {"permissions": {"ask": ["memory"]}}}
        agent = await self.stage.agent(model="scripted:play", **config)
        answer = await self.stage.ask("POST", f"/v2/agents/{agent}/chat", {"message": fact, "user_id": "ann"})
        assert answer["status"] == "paused", answer
        return answer["run_id"], answer["approvals"][0]["id"]

    async def decide(self, replica: Replica, approval: str, verb: str) -> httpx.Response | None:
        """What the replica answers, None where it died over it."""
        headers = {"authorization": f"Bearer {self.stage.secrets['key admin']}"}
        path = f"{replica.url}/v2/approvals/{approval}/{verb}"
        try:
            return await self.stage.http.post(path, json={"note": f"because of {approval}"}, headers=headers)
        except BROKEN:
            return None

    async def judge(self, run_id: str, approval: str, fact: str) -> None:
        """Wait for the end and compare it with the decision that stands."""
        deadline = time.monotonic() + PATIENCE
        status = ""
        while status != "completed" and time.monotonic() < deadline:
            (row,) = await self.fetch("SELECT status FROM runs WHERE id = $1", run_id)
            status = row["status"]
            await asyncio.sleep(0.05)
        (stands,) = await self.fetch("SELECT status FROM approvals WHERE id = $1", approval)
        effects = len(await self.fetch("SELECT FROM memories WHERE content = $1", fact))
        heard = [row["c"] for row in await self.fetch(_HEARD, run_id)]
        decisions = len(await self.fetch(_DECISIONS, approval))
        self.counts[stands["status"]] += 1
        due = 1 if stands["status"] == "approved" else 0
        refused = len(heard) == 1 and f"because of {approval}" in heard[0]
        if (status, effects, decisions, len(heard)) != ("completed", due, 1, 1) or refused == bool(due):
            self.failures.append(f"{run_id}: {status}, {stands['status']}, {effects} effects, {decisions} decisions, heard {heard}")


_WAITING = """
SELECT a.id FROM approvals a JOIN execution_jobs j ON j.id = a.job_id WHERE j.id = $1::uuid AND j.status = 'awaiting_approval'
"""
_HEARD = "SELECT content::text AS c FROM messages WHERE run_id = $1 AND role = 'tool'"
_DECISIONS = "SELECT FROM audit_log WHERE object_id = $1 AND action IN ('approval.approved', 'approval.denied', 'approval.expired')"


async def perform(stage: Stage) -> Told:
    play = Play(stage)
    await _race(play)
    rounds = max(1, stage.options.count // 50)
    for number in range(rounds):
        await _stopped_before(play, number)
        await _stopped_between(play, number)
        stage.options.say(f"round {number + 1} of {rounds}: {dict(play.counts)}, {len(play.failures)} failures")
    await _jobs(play, rounds)
    return Told(figures=dict(sorted(play.counts.items())), failures=play.failures)


async def _race(play: Play) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            if play.stage.time_left < 0:
                play.counts["not tried, time ran out"] += 1
                return
            await _decided_twice(play, f"race {number}")

    await asyncio.gather(*(one(number) for number in range(play.stage.options.count)))
    if play.counts["not tried, time ran out"]:
        play.failures.append("time ran out before every approval was decided")


async def _decided_twice(play: Play, fact: str) -> None:
    run_id, approval = await play.asked(fact)
    first, second = play.stage.alive()[:2]
    verbs = [play.stage.chance.choice(("approve", "deny")) for _ in range(2)]
    answers = await asyncio.gather(play.decide(first, approval, verbs[0]), play.decide(second, approval, verbs[1]))
    statuses = sorted(0 if answer is None else answer.status_code for answer in answers)
    play.counts["decided by two at once"] += 1
    if statuses != [200, 409]:
        play.failures.append(f"{run_id}: two decisions at once were answered {statuses}")
    else:
        won, lost = sorted((answer.json() for answer in answers if answer is not None), key=lambda body: body.get("code", ""))
        if lost["approval"] != won:
            play.failures.append(f"{run_id}: the loser was shown {lost['approval']}, the winner {won}")
    await play.judge(run_id, approval, fact)


async def _stop_all(play: Play) -> None:
    for replica in play.stage.alive():
        await play.stage.kill(replica)


async def _stopped_before(play: Play, number: int) -> None:
    """Everything is stopped between request and decision."""
    waiting = [(f"before {number}.{each}", *await play.asked(f"before {number}.{each}")) for each in range(CRASHED)]
    await _stop_all(play)
    await play.stage.start()
    for fact, run_id, approval in waiting:
        answer = await play.decide(play.stage.any_replica(), approval, play.stage.chance.choice(("approve", "deny")))
        if answer is None or answer.status_code != 200:
            play.failures.append(f"{run_id}: the decision after the restart was answered {answer}")
        await play.judge(run_id, approval, fact)
    play.counts["stopped before the decision"] += len(waiting)


async def _stopped_between(play: Play, number: int) -> None:
    """The last process dies the moment the decision is durable, before anything can follow from it, and says nothing to who decided."""
    fact = f"between {number}"
    run_id, approval = await play.asked(fact)
    await _stop_all(play)
    armed = await play.stage.start(POINTSMAN_FAILPOINTS=json.dumps(["approvals.decide.after:kill"]))
    answer = await play.decide(armed, approval, ("approve", "deny")[number % 2])
    await armed.process.ended(within=10)
    if answer is not None:
        play.failures.append(f"{run_id}: the replica did not die at the decision: {answer}")
    if await play.fetch("SELECT FROM memories WHERE content = $1", fact):
        play.failures.append(f"{run_id}: the effect was there before anybody lived to make it")
    await play.stage.start()
    again = await play.decide(play.stage.any_replica(), approval, "approve")
    if again is None or again.status_code != 409:
        play.failures.append(f"{run_id}: a second decision after the crash was answered {again}")
    await play.judge(run_id, approval, fact)
    play.counts["stopped between decision and effect"] += 1


async def _jobs(play: Play, rounds: int) -> None:
    """The same with jobs: the worker is stopped while they wait, and again when they were decided."""
    fleet = Fleet(play.stage)
    try:
        for number in range(rounds):
            await fleet.start()
            jobs = [await _job(play, f"job {number}.{each}") for each in range(CRASHED)]
            waiting = [await _approval_of(play, job) for job in jobs]
            await fleet.kill(fleet.alive()[0])
            for job, approval in zip(jobs, waiting, strict=True):
                verb = play.stage.chance.choice(("approve", "deny"))
                first = await play.decide(play.stage.any_replica(), approval, verb)
                late = await play.decide(play.stage.any_replica(), approval, "approve")
                if [None if answer is None else answer.status_code for answer in (first, late)] != [200, 409]:
                    play.failures.append(f"job {job}: decisions were answered {first}, {late}")
            await fleet.start()
            for job, approval in zip(jobs, waiting, strict=True):
                await _judge_job(play, job, approval)
            await fleet.kill(fleet.alive()[0])
    finally:
        fleet.stop()


async def _job(play: Play, word: str) -> str:
    body: dict[str, Any] = {
        "engine": "direct_ops",
        "prompt": word,
        "worker_config": {"permissions": {"ask": ["*"]}},
        "job_spec": {"commands": [["echo", word]]},
    }
    return (await play.stage.ask("POST", "/v2/jobs", body))["id"]


async def _approval_of(play: Play, job: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        rows = await play.fetch(_WAITING, job)
        if rows:
            return rows[0]["id"]
        await asyncio.sleep(0.05)
    raise AssertionError(f"job {job} never waited for a decision")


async def _judge_job(play: Play, job: str, approval: str) -> None:
    deadline = time.monotonic() + PATIENCE
    row: dict[str, Any] = {}
    while row.get("status") not in {"completed", "failed"} and time.monotonic() < deadline:
        row = await play.stage.ask("GET", f"/v2/jobs/{job}")
        await asyncio.sleep(0.05)
    (stands,) = await play.fetch("SELECT status FROM approvals WHERE id = $1", approval)
    ran = len((row["result"] or {}).get("commands", []))
    acted = [attempt["status"] for attempt in row["attempts"] if attempt["status"] == "completed"]
    play.counts[f"jobs {stands['status']}"] += 1
    approved = stands["status"] == "approved"
    as_due = (row["status"], ran, len(acted)) == (("completed", 1, 1) if approved else ("failed", 0, 0))
    if not as_due or (not approved and not (row["last_failure_reason"] or "").startswith("denied")):
        play.failures.append(f"job {job}: {stands['status']}, {row['status']}, {ran} commands, {row['last_failure_reason']}")


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("approvals", __doc__ or "", count=500, duration=600, sample=5),
            perform,
            title="Approvals decided by two at once, and with everything stopped around the decision",
            required=(),
        )
    )
