"""The small fixed sample of every fault program, one after the other: `python -m tests.faults.sample [PROGRAM…]`."""

from __future__ import annotations

import subprocess
import sys
import time

# Each takes about a minute at most with `--sample`; together they take about five.
PROGRAMS = (
    "kills",
    "bill",
    "limits",
    "budget",
    "idempotency",
    "database",
    "served",
    "sessions",
    "soak",
    "secrets",
    "overload",
    "jobs",
    "workers",
    "breaker",
    "approvals",
)


def main() -> int:
    """Run them; the exit status tells how many failed."""
    failed: list[str] = []
    for program in sys.argv[1:] or PROGRAMS:
        began = time.monotonic()
        status = subprocess.run([sys.executable, "-m", f"tests.faults.{program}", "--sample"], check=False).returncode
        print(f"faults-sample: {program} {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
        failed += [program] if status else []
    if failed:
        print(f"faults-sample: failed: {', '.join(failed)}; see reports/faults")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
