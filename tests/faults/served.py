"""PostgreSQL killed hard under load while two replicas of `pointsman serve` use it; the program starts it again, at once or late.

What holds of `tests.faults.database` holds here too, counted from when the server accepts connections again.
"""

from __future__ import annotations

import sys
import time

from tests.faults.options import read_options
from tests.faults.outages import Load, kill_again_and_again
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage


async def perform(stage: Stage) -> Told:
    load = Load(stage, await stage.agent())

    async def kill() -> float:
        await stage.kill_database(stage.chance.choice((0.0, 0.5, 4.0)))
        return time.time()

    return await kill_again_and_again(stage, load, kill)


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("served", __doc__ or "", count=20, duration=420, sample=2),
            perform,
            title="PostgreSQL of two replicas killed hard under load",
            required=("G1", "G5", "G6", "G7", "G10"),
        )
    )
