"""How a run ended, whoever drove it."""

from __future__ import annotations

from pointsman.chat.facts import Outcome
from pointsman.kit.db import Database
from pointsman.kit.problems import NotFound, Problem
from pointsman.runs import queries
from pointsman.runs.replay import Replay


async def outcome_of(db: Database, replay: Replay, run_id: str) -> Outcome:
    """Wait for the end of a run, or for a pause. Raises NotFound where it is gone."""
    while True:
        async for _ in replay.follow(run_id, through_pauses=False):
            pass
        async with db.connection() as connection:
            row = await queries.find_run(connection, run_id, None)
        if row is None:
            raise NotFound(f"No run {run_id!r}.")
        if row["status"] != "running":  # else somebody has decided since
            error = queries.parse(row["error"])
            return Outcome(row["status"], (row["result"] or "null").encode(), Problem.recall(error) if error else None)
