"""The output of jobs while they run: in order, in time, bounded, and only from whoever has the attempt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from tests.jobs.job_scene import Scene

from pointsman.jobs.output import MOST_BYTES, OutputWriter
from pointsman.jobs.rows import Claimed
from pointsman.kit.db import Database


@asynccontextmanager
async def writing(db: Database) -> AsyncGenerator[OutputWriter]:
    writer = OutputWriter(db, timedelta(milliseconds=20))
    loop = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def printed(scene: Scene, attempt: Claimed) -> list[tuple[str, str]]:
    return [(said["stream"], said["text"]) for _, kind, said in await scene.events(attempt.job_id) if kind == "job.output"]


async def test_what_is_printed_is_told_while_the_job_runs(scene: Scene, db: Database) -> None:
    attempt = await scene.begun()
    async with writing(db) as writer:
        output = writer.open(attempt)
        output.write("one\n")
        output.write("two\n")
        output.write("oh\n", "stderr")
        async with asyncio.timeout(5):
            while not (found := await printed(scene, attempt)):
                await asyncio.sleep(0.01)
        assert found == [("stdout", "one\ntwo\n"), ("stderr", "oh\n")]
        output.write("three\n")
        await writer.close(attempt)
    await scene.end(attempt)
    assert await printed(scene, attempt) == [*found, ("stdout", "three\n")]
    numbers = [seq for seq, _, _ in await scene.events(attempt.job_id)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_many_jobs_print_at_once_each_into_its_own_log(scene: Scene, db: Database) -> None:
    attempts = [await scene.begin(job) for job in await scene.create(5)]
    writer = OutputWriter(db)
    for attempt in attempts:
        writer.open(attempt).write(attempt.handle)
    await writer.flush()
    for attempt in attempts:
        assert await printed(scene, attempt) == [("stdout", attempt.handle)]


async def test_output_is_bounded_over_all_attempts_and_says_once_that_it_was_cut(scene: Scene, db: Database) -> None:
    writer = OutputWriter(db)
    attempt = await scene.begun()
    output = writer.open(attempt)
    output.write("ü" * (MOST_BYTES // 2 - 10))
    await writer.flush()
    output.write("é" * 100)
    output.write("nothing of this")
    await writer.close(attempt)
    found = await printed(scene, attempt)
    assert "".join(text for _, text in found) == "ü" * (MOST_BYTES // 2 - 10) + "é" * 10
    second = await scene.begin(attempt.job_id)
    writer.open(second).write("nor of this")
    await writer.close(second)
    told = [said for _, kind, said in await scene.events(attempt.job_id) if kind == "job.output"]
    assert sum("truncated" in said for said in told) == 1


async def test_the_presumed_dead_print_nothing(scene: Scene, db: Database) -> None:
    writer = OutputWriter(db)
    first = await scene.begun()
    output = writer.open(first)
    second = await scene.begin(first.job_id)
    output.write("from the dead")
    await writer.close(first)
    assert await printed(scene, second) == []


async def test_text_that_is_no_unicode_is_told_all_the_same(scene: Scene, db: Database) -> None:
    writer = OutputWriter(db)
    attempt = await scene.begun()
    writer.open(attempt).write("bad \udcff end \x00 nul")
    await writer.close(attempt)
    ((_, text),) = await printed(scene, attempt)
    assert text.startswith("bad ")
    assert text.endswith(" nul")
