"""PostgreSQL killed with `kill -9` under load: 503 meanwhile and nothing else, nothing acknowledged is lost, and no gateway restarts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.conftest import cluster_home
from tests.e2e.conftest import Call, Start
from tests.e2e.following import Listener, Talker, assert_nothing_lost, assert_whole, wait_for_ends
from tests.e2e.gateways import admin_key

from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate

SECONDS = 20  # in which answers must come again


@pytest.fixture
def database(tmp_path: Path) -> Generator[EmbeddedPostgres]:
    """A server of its own, as durable as in production; who kills it starts it again."""
    with cluster_home(tmp_path) as home:
        server = EmbeddedPostgres(home / "cluster")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def postmaster(server: EmbeddedPostgres) -> int:
    (file,) = _pid_files(server)
    return int(file.read_text().split("\n", 1)[0])


def _pid_files(server: EmbeddedPostgres) -> list[Path]:
    data_dir: Path = server._data_dir
    return list(data_dir.resolve().rglob("postmaster.pid"))


async def answered_again(talkers: list[Talker]) -> None:
    """Until each has been answered since now."""
    before = [len(talker.acknowledged) for talker in talkers]
    async with asyncio.timeout(SECONDS):
        while any(len(talker.acknowledged) <= count for talker, count in zip(talkers, before, strict=True)):
            await asyncio.sleep(0.05)


async def test_the_database_dies_under_load(database: EmbeddedPostgres, tmp_path: Path, start: Start, call: Call) -> None:
    await migrate(database.dsn)
    key = await admin_key(database.dsn, tmp_path)
    gateways = await asyncio.gather(start(database.dsn), start(database.dsn))
    callers = [call(gateway, key) for gateway in gateways]
    agent = await callers[0].agent(tools=[{"type": "builtin", "name": "current_time"}])
    text = "".join(f"tok{i} " for i in range(80))
    listeners = [Listener(agent, f"through {number} [[n=80 itl=40]]", text) for number in range(4)]
    listeners += [Listener(agent, f"tool {number} [[n=80 itl=40 ttft=500]] [[tool=current_time]]", text, calls=2) for number in range(2)]
    talkers, stop = [Talker(agent) for _ in range(8)], asyncio.Event()

    async with asyncio.TaskGroup() as group:
        for number, talker in enumerate(talkers):
            group.create_task(talker.talk(callers[number % 2], stop, pause=0.05))
        for number, listener in enumerate(listeners):
            group.create_task(listener.listen(callers[number % 2]))
        await answered_again(talkers)
        for outage in (0.2, 5, 0.2):  # within and beyond the patience of a turn's opening
            os.kill(postmaster(database), signal.SIGKILL)
            await asyncio.sleep(outage)
            await asyncio.to_thread(database.start)
            await answered_again(talkers)
        stop.set()

    assert all(gateway.is_alive for gateway in gateways)
    assert [odd for talker in talkers for odd in talker.odd] == []
    assert any(503 in talker.statuses for talker in talkers)
    assert any(503 in talker.statuses for talker in talkers)
    await wait_for_ends(callers[0], 30)
    for talker in talkers:
        await assert_nothing_lost(callers[0], talker)
    for listener in listeners:
        await listener.come_back(callers[1])
        await assert_whole(database.dsn, callers[0], listener)


async def test_while_the_database_is_away_everything_says_so(database: EmbeddedPostgres, tmp_path: Path, start: Start, call: Call) -> None:
    await migrate(database.dsn)
    key = await admin_key(database.dsn, tmp_path)
    gateway = await start(database.dsn)
    caller = call(gateway, key)
    agent = await caller.agent()
    run_id = (await caller.chat(agent, "hi", session_id="before"))["run_id"]
    server = postmaster(database)
    os.kill(server, signal.SIGSTOP)  # new connections hang
    for pid in _children(server):
        os.kill(pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(30):
            paths = ["/v2/agents", "/v2/runs", f"/v2/runs/{run_id}", "/v2/sessions", "/v2/usage", "/v2/memories"]
            answers = await asyncio.gather(*(caller.http.get(path) for path in paths), caller.try_chat(agent, "hi", session_id="away"))
            live = await caller.http.get("/livez")
    finally:
        os.kill(server, signal.SIGCONT)
    assert {(answer.status_code, "retry-after" in answer.headers) for answer in answers} == {(503, True)}
    assert live.status_code == 200
    async with asyncio.timeout(SECONDS):
        while (await caller.try_chat(agent, "hi again", session_id="after")).status_code != 200:
            await asyncio.sleep(0.1)
    await wait_for_ends(caller, 30)


def _children(postmaster: int) -> list[int]:
    """The server's other processes."""
    return [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
