"""`make bench` in small: it runs to its end and leaves a report of the right shape; figures of so few requests mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import read

ROOT = Path(__file__).parents[2]


def test_a_small_run_leaves_a_whole_report(tmp_path: Path) -> None:
    rows = ["chat-c8", "stream-c1", "tools", "create-prompt"]
    chosen = [argument for row in rows for argument in ("--only", row)]
    argv = [sys.executable, "-m", "benchmarks.run", *chosen, "--requests", "40", "--rounds", "1", "--report", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in content["rows"]] == rows
    assert all(row["marks"] and not row["failure"] for row in content["rows"])
    chat = content["rows"][0]["sides"]
    assert chat.keys() == {"floor", "pointsman"}
    assert all(chat["pointsman"][cost] > 0 for cost in ("requests_per_second", "cpu_ms", "database_cpu_ms"))
    assert "| `chat-c8` |" in (tmp_path / "bench.md").read_text()
    assert (tmp_path / "requests.svg").read_text().startswith("<svg")
    assert [row.name for row in read(tmp_path / "bench.json")[0]] == rows
