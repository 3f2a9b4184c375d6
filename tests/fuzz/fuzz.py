"""`make fuzz`: requests generated from the OpenAPI document, in the name of four sorts of callers, against a real gateway."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.machines import disproved
from tests.fuzz.report import written
from tests.fuzz.scene import scene_of_its_own


def main(arguments: list[str]) -> int:
    """0 when nothing failed; the report says what did, and the seed with which to see it again."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--count", type=int, default=20_000, help="requests")
    parser.add_argument("--duration", type=float, default=1800, help="seconds at most")
    parser.add_argument("--examples", type=int, default=60, help="of 40 steps, of each state machine")
    parser.add_argument("--report", type=Path, default=Path("reports/fuzz/report.md"))
    asked = parser.parse_args(arguments)
    number = secrets.randbits(32) if asked.seed is None else asked.seed
    print(f"fuzz: seed {number}, {asked.count} requests")
    with tempfile.TemporaryDirectory(prefix="pointsman-fuzz-") as folder, scene_of_its_own(Path(folder)) as scene:
        tally = Campaign(scene, number).run(asked.count, asked.duration)
        broken = list(disproved(scene, number, examples=asked.examples))
        defects = scene.defects()
    report = written(tally, number, defects, broken)
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(report)
    failed = len(tally.failures) + len(defects) + len(broken)
    print(f"fuzz: {tally.cases} requests in {tally.seconds:.0f} s, {failed} failures; {asked.report}")
    return 1 if failed or tally.cases < asked.count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
