"""The small fixed sample of every fault program: `python -m tests.faults.sample [PROGRAM…]`."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 2
# Each takes about a minute at most with `--sample`; the longest begin first, so that none is left to run alone.
PROGRAMS = (
    "kills",
    "approvals",
    "jobs",
    "workers",
    "indexing",
    "soak",
    "bill",
    "idempotency",
    "overload",
    "budget",
    "limits",
    "database",
    "served",
    "sessions",
    "breaker",
    "secrets",
)


def main() -> int:
    """Run them, two at a time, since they wait more than they work; the exit status tells how many failed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        passed = dict(zip(wanted := sys.argv[1:] or PROGRAMS, pool.map(_passes, wanted), strict=True))
    failed = [program for program, good in passed.items() if not good]
    if failed:
        print(f"faults-sample: failed: {', '.join(failed)}; see reports/faults")
    return len(failed)


def _passes(program: str) -> bool:
    """What it says is shown when it has ended, in one piece."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", "--sample"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    passed = ended.returncode == 0
    print(f"{ended.stdout}faults-sample: {program} {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
