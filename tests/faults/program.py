"""How a fault program runs: stage, performance, settling, collecting, judging, report, exit status.

A program is a module of this folder:

    async def perform(stage: Stage) -> Told:
        agent = await stage.agent()
        clients = [stage.client(f"client-{number}") for number in range(8)]
        for round in range(stage.options.count):
            if stage.time_left < 0:
                break
            await asyncio.gather(*(client.chat(agent, f"round {round} of {client.name} [[n=5]]") for client in clients))
        return Told(figures={"rounds": round + 1})

    if __name__ == "__main__":
        options = read_options("rounds", "Talks.", count=100, duration=60, sample=5)
        sys.exit(run(options, perform, title="Talking in rounds", required=("G1", "G5")))

Every message must be a text of its own (the ledger knows calls by it), and every random choice comes from `stage.chance`. What is done to
the system goes through the stage (`kill`, `terminate`, `kill_database`), or is noted with `stage.record.fault(kind, began)`, because the
checker excuses broken connections and 503s only where the record says why. A call that asks the upstream to fail says `faulty=True`, one
that knows its answer says `expected=…`, and what the record has no field for goes into the request's body. Files a program leaves:
see `tests.faults.checker`. Criteria that no guarantee has a number for go into `Told.failures`.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence

import uvloop
from tests.conftest import clear_environment
from tests.faults import checker
from tests.faults.options import Options
from tests.faults.report import Told, write_report
from tests.faults.stage import Stage, opened
from tests.faults.verdicts import is_good

Perform = Callable[[Stage], Awaitable[Told]]
_GRACE = 120.0  # seconds that a performance may take beyond its duration, to bring what it began to an end


def run(
    options: Options,
    perform: Perform,
    *,
    title: str,
    required: Sequence[str],
    replicas: int = 2,
    variables: dict[str, str] | None = None,
) -> int:
    """Run a program to its report; the exit status is 0 only if nothing was violated and the required guarantees were exercised."""
    began = time.monotonic()
    clear_environment()
    told = uvloop.run(_play(options, perform, replicas, variables))
    verdicts = checker.check(options.report)
    good = is_good(verdicts, required) and not told.failures
    write_report(options, title, verdicts, told, good=good, seconds=time.monotonic() - began)
    print(checker.told(verdicts))
    for failure in told.failures:
        print(f"missed: {failure}")
    unexercised = [verdict.guarantee for verdict in verdicts if verdict.guarantee in required and verdict.outcome == "not exercised"]
    if unexercised:
        print(f"missed: not exercised: {', '.join(unexercised)}")
    options.say(f"{'passed' if good else 'FAILED'} after {time.monotonic() - began:.0f} s; {options.report / 'report.md'}")
    return 0 if good else 1


async def _play(options: Options, perform: Perform, replicas: int, variables: dict[str, str] | None) -> Told:
    async with opened(options, replicas=replicas, variables=variables) as stage:
        try:
            async with asyncio.timeout(options.duration + _GRACE):
                told = await perform(stage)
        except (TimeoutError, AssertionError) as error:  # what was seen until then is judged all the same
            traceback.print_exception(error)
            told = Told(failures=[f"the program did not come to its end: {type(error).__name__} {error}"])
        if not await stage.settle():
            told.failures.append("a run was still under way 45 s after the end")
        await stage.collect()
    return told
