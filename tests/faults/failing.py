"""Gateways that die at a named failpoint, one after the other, while clients work on them; the work is finished on others."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from tests.faults.clients import Client
from tests.faults.deaths import PATIENCE, Deaths
from tests.faults.record import Call
from tests.faults.stage import Replica, Stage

import pointsman.api.app as edge
from pointsman.kit import failpoints
from pointsman.kit.db import connect

RETURN = 60.0  # seconds in which a client must have had its answer elsewhere
_OTHERS = ("jobs.", "supervision.", "knowledge.", "webhooks.")  # passed by no chat
_RESCUES = ("runs.take_over", "runs.cut_off")  # passed by a replica that takes over what others left
_SELDOM = ("runs.cut_off", "runs.reserve")


@dataclass(frozen=True)
class Cast:
    """Whom the clients ask."""

    agent: str
    careful: str  # an agent whose tool needs a person's approval
    team: str
    members: tuple[str, str]

    def tasks(self, label: str, tokens: int) -> str:
        """Marks that let a team's leader give three tasks at once, of which no other has the words."""
        places = (*self.members, self.members[0])
        tasks = (json.dumps({"task": f"{label} task {number} [[n={tokens} itl=15]]"}) for number in range(3))
        return "".join(f" [[tool=delegate_to_{member};args={task}]]" for member, task in zip(places, tasks, strict=True))


def names() -> list[str]:
    """Every failpoint of chats; with the edge, every module is loaded that declares one. Others have those of what is no chat."""
    assert edge
    return sorted(name for name in failpoints.declared() if not name.startswith(_OTHERS))


async def dies_at(stage: Stage, cast: Cast, name: str, label: str, deaths: Deaths) -> bool:
    """Start a gateway that dies at one of the first times it passes there, and work on it until it does: whether it did."""
    which = 1 if name.startswith(_SELDOM) else stage.chance.randint(1, 2)
    variables = {"POINTSMAN_FAILPOINTS": json.dumps([f"{name}:kill@{which}"])}
    began = time.time()
    armed = await stage.start(**variables)
    workers = [asyncio.create_task(_work(stage, cast, armed, name, f"{label}.{place}", deaths)) for place in range(3)]
    deadline = time.monotonic() + PATIENCE
    while armed.is_alive and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    died = not armed.is_alive
    if not died:
        await stage.kill(armed)
    stage.record.fault("failpoint", began, replica=armed.name, detail=f"{name}@{which}")
    await asyncio.gather(*workers)
    return died


async def _work(stage: Stage, cast: Cast, armed: Replica, name: str, label: str, deaths: Deaths) -> None:
    client, agent, turn = stage.client(f"client {label}", "limited"), cast.agent, 0
    while armed.is_alive:
        turn += 1
        message = f"{label} turn {turn}"
        if name.startswith(_RESCUES):
            call = await _presumed_dead(stage, client, agent, message)
        elif name.startswith("runs.relay"):
            call = await _delegated(client, cast, armed, message)
        elif name.startswith(("runs.pause", "approvals.")):
            call = await _decided(stage, client, cast.careful, armed, message)
        elif name.startswith("schedules."):
            call = await _fired(stage, client, agent, message, deaths)
        elif name.startswith("runs.reserve"):
            call = await _streamed(client, agent, armed, f"{message} [[n=1200 itl=3]]")
        elif name.startswith("runs.cancel"):
            call = await _cancelled(stage, client, agent, armed, message)
        elif name.startswith(("chat.", "idempotency.", "http.")) or turn % 2:
            call = await _repeated(client, agent, armed, message)
        else:
            call = await _streamed(client, agent, armed, f"{message} [[n=20 itl=10]] [[tool=current_time]]")
        if not call.run_status and (call.run_id or call.idempotency_key):
            deaths.unanswered.append(f"{message}: not answered within {RETURN:g} s: {call.status} {call.code} {call.error}")


async def _repeated(client: Client, agent: str, armed: Replica, message: str) -> Call:
    """A turn with a key for repeating, which is repeated elsewhere until it is answered."""
    content = f"{message} [[n=5]] [[tool=current_time]]"
    more: dict[str, Any] = {
        "session": f"session {message}".replace(" ", "-"),
        "idempotency_key": message.replace(" ", "-"),
        "expected": _said(5),
    }
    call = await client.chat(agent, content, replica=armed, **more)
    deadline = time.monotonic() + RETURN
    while not call.run_status and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        call = await client.chat(agent, content, **more)
    return call


async def _streamed(client: Client, agent: str, armed: Replica, message: str) -> Call:
    return await read_on(client, await client.stream(agent, message, replica=armed), RETURN)


async def _delegated(client: Client, cast: Cast, armed: Replica, message: str) -> Call:
    """A stream of a team, whose leader gives three tasks at once."""
    content = f"{message} [[n=20 itl=10]]{cast.tasks(message, 20)}"
    return await read_on(client, await client.stream(cast.team, content, replica=armed, team=True), RETURN)


async def _decided(stage: Stage, client: Client, agent: str, armed: Replica, message: str) -> Call:
    """A stream whose tool has to be approved; meanwhile whatever waits is approved, by the gateway that is to die as long as it lives."""
    asking = asyncio.create_task(_asked(client, agent, armed, message))
    while not asking.done():
        waiting = await stage.ask("GET", "/v2/approvals?status=pending&limit=100")
        for approval in waiting["items"]:
            path = f"/v2/approvals/{approval['id']}/approve"
            await client.request("approve", "POST", path, {}, replica=armed if armed.is_alive else None)
        await asyncio.sleep(0.2)
    return await asking


async def _asked(client: Client, agent: str, armed: Replica, message: str) -> Call:
    return await read_on(client, await client.stream(agent, f"{message} [[n=5 itl=10]] [[tool=current_time]]", replica=armed), RETURN)


async def _fired(stage: Stage, client: Client, agent: str, message: str, deaths: Deaths) -> Call:
    """A run that the clock asks for: whichever gateway sees first that it is due begins it."""
    request = {"message": f"{message} [[n=5 itl=10]]"}
    schedule = await stage.ask(
        "POST", "/v2/schedules", {"subject_type": "agent", "subject_id": agent, "cron": "0 9 * * *", "request": request}
    )
    path = f"/v2/schedules/{schedule['id']}"
    connection = await connect(stage.dsn, role=None)
    try:
        await connection.execute("UPDATE schedules SET next_at = clock_timestamp(), cron = '* * * * *' WHERE id = $1", schedule["id"])
    finally:
        await connection.close()
    deadline = time.monotonic() + RETURN
    while not (begun := _begun(await stage.ask("GET", f"{path}/fires"))) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    unscheduled = await client.request("unschedule", "DELETE", path)
    if not begun:
        deaths.unanswered.append(f"{message}: no gateway began its run within {RETURN:g} s")
        return unscheduled
    return await read_on(client, await client.follow(begun, message=message), RETURN)


def _begun(fires: dict[str, Any]) -> str:
    return next((fire["run_id"] for fire in fires["items"] if fire["status"] == "started"), "")


async def _cancelled(stage: Stage, client: Client, agent: str, armed: Replica, message: str) -> Call:
    """A stream that is cancelled from elsewhere."""
    streaming = asyncio.create_task(client.stream(agent, f"{message} [[n=200 itl=20]]", replica=armed))
    await asyncio.sleep(stage.chance.uniform(0.3, 0.6))
    for run_id in await _running(stage, message):
        await client.request("cancel", "POST", f"/v2/runs/{run_id}/cancel", {})
    return await read_on(client, await streaming, RETURN)


async def _presumed_dead(stage: Stage, client: Client, agent: str, message: str) -> Call:
    """A stream whose replica lives, and is taken for dead: whoever looks first takes the run over, and the owner writes no more.

    It begins at a random moment: a turn that follows a take-over at once would keep step with the replica that made it, which looks
    every second, and would be taken over by that same one for ever.
    """
    await asyncio.sleep(stage.chance.uniform(0, 1))
    streaming = asyncio.create_task(client.stream(agent, f"{message} [[n=60 itl=20]]"))
    await asyncio.sleep(stage.chance.uniform(0.3, 0.6))
    connection = await connect(stage.dsn, role=None)
    try:
        for run_id in await _running(stage, message):
            await connection.execute("UPDATE runs SET replica = 'rep_presumed_dead' WHERE id = $1 AND status = 'running'", run_id)
    finally:
        await connection.close()
    return await read_on(client, await streaming, RETURN)


async def _running(stage: Stage, message: str) -> list[str]:
    runs = await stage.ask("GET", "/v2/runs?status=running&limit=100")
    return [run["id"] for run in runs["items"] if run["request"]["message"].startswith(message)]


async def read_on(client: Client, call: Call, within: float) -> Call:
    """Resume a stream on whichever replica lives until its run has ended; one that had no answer at all stays as it is."""
    deadline = time.monotonic() + within
    while not call.run_status and call.run_id and time.monotonic() < deadline:
        again = await client.come_back(call)
        if not again.events:
            again.after = call.events[-1].id if call.events else call.after
            await asyncio.sleep(0.1)
        call = again
    return call


def _said(tokens: int) -> str:
    return "".join(f"tok{i} " for i in range(tokens))
