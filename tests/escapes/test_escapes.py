"""Attempts to get out of a local sandbox: none succeeds, the host answers meanwhile, and two seconds after the end nothing is left."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from tests.conformance.runners.local import Remembered
from tests.conformance.scene import PYTHON, Ran, python, run, spec
from tests.escapes.attempt import Attempt
from tests.escapes.exhausting import EXHAUSTING, STAYING
from tests.escapes.files import FILES
from tests.escapes.kernel import KERNEL
from tests.escapes.neighbours import NEIGHBOURS

from pointsman.execution.ports import Sandbox

ATTEMPTS = [*FILES, *KERNEL, *NEIGHBOURS, *EXHAUSTING, *STAYING]
_SILENCE = 2.0  # seconds for which the host may at most not have answered


def test_there_are_as_many_attempts_as_the_documents_say() -> None:
    assert len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS) >= 60


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name.replace(" ", "-"))
async def test_nobody_gets_out(attempt: Attempt, target: Remembered, host: dict[str, object]) -> None:
    sandbox = await target.open(spec(memory_mb=128, cpus=1.0, pids=48, disk_mb=32))
    try:
        async with heartbeat() as silences:
            ran = await _attempt(sandbox, attempt, json.dumps(host))
        assert b"ESCAPED" not in ran.stdout, ran.stdout.decode(errors="replace")
        if not attempt.lasts:
            assert ran.stdout.endswith(b"TRIED\n"), (ran.exited, ran.stderr.decode(errors="replace")[-2000:])
        assert max(silences) < _SILENCE
        assert [pid for pid in target.leftovers() if pid.startswith("process")] == []
    finally:
        began = time.monotonic()
        await sandbox.close()
        assert time.monotonic() - began < _SILENCE
    assert target.leftovers() == []


async def _attempt(sandbox: Sandbox, attempt: Attempt, host: str) -> Ran:
    ran = Ran()
    running = asyncio.create_task(python(sandbox, attempt.text, host, stdin=b"given", ran=ran))
    await asyncio.wait({running}, timeout=attempt.seconds)
    began = time.monotonic()
    running.cancel()
    await asyncio.wait({running})
    assert time.monotonic() - began < _SILENCE
    if not running.cancelled():
        running.result()
    return ran


@pytest.mark.parametrize("way", ["tar", "links"])
async def test_nothing_of_the_host_comes_with_a_download(way: str, target: Remembered, host: dict[str, str]) -> None:
    sandbox = await target.open(spec())
    try:
        program = f"ln -s {host['keyring']} secret; ln -s / root; ln -s ../cgroups.json note; mkdir d; ln -s ../../cgroups.json d/note"
        await run(sandbox, "sh", "-c", program)
        paths = ["."] if way == "tar" else ["secret", "root/etc/shadow", "note", "d/note", "root"]
        fetched = await sandbox.download(paths)
        assert host["secret"].encode() not in fetched
        assert b"/sys/fs/cgroup" not in fetched
    finally:
        await sandbox.close()


async def test_a_link_that_changes_under_a_download_leads_nowhere(target: Remembered, host: dict[str, str]) -> None:
    """One process swaps a folder and a link to the host's as fast as it can while the worker reads."""
    folder = host["keyring"].rpartition("/")[0]
    program = f"""
import os
os.mkdir('a'); os.mkdir('kept'); open('kept/keyring', 'w').write('harmless'); os.symlink({folder!r}, 'b')
print('ready', flush=True)
while True:
    try:
        os.rename('a', 'c'); os.rename('b', 'a'); os.rename('c', 'b')
    except OSError:
        pass
"""
    sandbox = await target.open(spec())
    ready = asyncio.Event()
    running = asyncio.create_task(sandbox.exec([PYTHON, "-c", program], on_output=lambda _stream, _data: ready.set()))
    try:
        await asyncio.wait_for(ready.wait(), 20)
        for _ in range(200):
            assert host["secret"].encode() not in await sandbox.download(["a/keyring", "a", "."])
    finally:
        running.cancel()
        await asyncio.wait({running})
        await sandbox.close()


@asynccontextmanager
async def heartbeat() -> AsyncGenerator[list[float]]:
    """The times between two beats of this process, which shares the host with the sandbox."""
    silences = [0.0]

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.02)
            silences.append(time.monotonic() - last)
            last = time.monotonic()

    beating = asyncio.create_task(beat())
    try:
        yield silences
    finally:
        beating.cancel()
        await asyncio.wait({beating})
