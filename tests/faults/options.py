"""What every fault program is told: `--seed --count --duration --report`, with defaults of its own; the seed is said first."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """One invocation; `count` is in the program's own unit (kills, calls, groups), `duration` in seconds."""

    program: str
    seed: int
    count: int
    duration: float
    report: Path
    sample: bool
    on: str = ""  # for a program that can play on several kinds of targets

    @property
    def chance(self) -> random.Random:
        """A new generator that begins at the seed."""
        return random.Random(self.seed)

    def say(self, text: str) -> None:
        """A line of progress on stderr."""
        print(f"{time.strftime('%H:%M:%S')} {self.program}: {text}", file=sys.stderr, flush=True)


def read_options(program: str, description: str, *, count: int, duration: float, sample: int, on: Sequence[str] = ()) -> Options:
    """Read the command line; `sample` is the count of the small fixed sample that every change runs (`--sample`)."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{program}", description=description)
    parser.add_argument("--seed", type=int, default=None, help="of everything random; default: a new one, or 1 for a sample")
    parser.add_argument("--count", type=int, default=None, help=f"how much is done; default {count}")
    parser.add_argument("--duration", type=float, default=duration, help="longest time in seconds; default %(default)s")
    parser.add_argument("--report", type=Path, default=Path("reports/faults") / program, help="folder; default %(default)s")
    parser.add_argument("--sample", action="store_true", help=f"the small fixed sample: seed 1, count {sample}")
    if on:
        parser.add_argument("--on", choices=on, default=on[0], help="kind of target; default %(default)s")
    told = parser.parse_args()
    seed = told.seed if told.seed is not None else 1 if told.sample else random.randrange(1_000_000)
    options = Options(
        program, seed, told.count or (sample if told.sample else count), told.duration, told.report, told.sample, getattr(told, "on", "")
    )
    options.report.mkdir(parents=True, exist_ok=True)
    options.say(f"seed {options.seed}, count {options.count}, at most {options.duration:g} s, report in {options.report}")
    return options
