"""What jobs print reaches their log, also where the database was away for a moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.access.access_scene import Line
from tests.jobs.job_scene import Scene

from pointsman.jobs.outputs import Outputs
from pointsman.jobs.rows import Claimed
from pointsman.kit.db import Connection, Database


async def test_what_was_printed_while_the_database_was_away_is_told_once_it_is_back(scene: Scene, owner: Connection, dsn: str) -> None:
    claimed = await scene.begun()
    with TemporaryDirectory(prefix="pm-line-", dir="/tmp") as folder:
        line = Line(dsn, Path(folder))
        await line.mend()
        far = await Database.connect(line.dsn, pool_size=2)
        outputs = Outputs(far)
        writing = asyncio.create_task(outputs.run())
        try:
            await line.cut()
            outputs.add(claimed, "said in the dark", "stdout")
            await asyncio.sleep(0.6)  # it was tried, and could not be written
            await line.mend()
            outputs.add(claimed, ", and after", "stdout")
            async with asyncio.timeout(10):
                while "after" not in (told := await _told(owner, claimed)):
                    await asyncio.sleep(0.05)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await far.close()
            await line.cut()
    assert told == "said in the dark, and after"


async def _told(owner: Connection, claimed: Claimed) -> str:
    statement = """SELECT string_agg(said->2->>'text', '' ORDER BY e.seq, place) FROM job_events e
                   CROSS JOIN LATERAL json_array_elements(e.data) WITH ORDINALITY AS s (said, place)
                   WHERE job_id = $1 AND said->>1 = 'job.output'"""
    return await owner.fetchval(statement, claimed.job_id) or ""
