"""Starting, idling, and the command line's help: what a machine pays for a gateway that nobody asks yet."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gateways import PROVIDERS, start_gateway
from benchmarks.measuring import medians
from benchmarks.results import Row, Values
from benchmarks.stage import Stage
from benchmarks.targets import Target


def start(stage: Stage) -> Row:
    """Seconds from the command to the first 200 of /readyz, with and without a database to make."""
    row = Row("start", "`pointsman up` until /readyz answers 200")
    first: list[float] = []
    later: list[float] = []
    for _ in range(stage.options.rounds):
        first.append(_start(stage))
        later.append(_start(stage))
        shutil.rmtree(stage.folder / "started")
    row.sides["pointsman"] = {"first_seconds": statistics.median(first), "later_seconds": statistics.median(later)}
    row.mark("first start with initdb, s", "first_seconds", "<=", 3.0)
    row.mark("later start, s", "later_seconds", "<=", 2.0)
    return row


def _start(stage: Stage) -> float:
    began = time.monotonic()
    with start_gateway(stage.upstream, stage.folder, stage.folder / "started"):
        return time.monotonic() - began


def idle(stage: Stage) -> Row:
    """A process that was started and never asked, once what its start leaves for later is done."""
    row = Row("idle", f"a gateway that nobody asks, over {stage.options.duration:g} s")
    for name, providers in {"pointsman": ["OPENAI"], "three providers": PROVIDERS}.items():
        with start_gateway(stage.upstream, stage.folder, stage.folder / f"idle {name}", providers=providers) as gateway:
            gateway.settle()
            row.sides[name] = _watched(gateway, stage.options.duration if name == "pointsman" else 3.0)
    row.sides["floor"] = _watched(stage.floor, 3.0)
    row.mark("resident MB", "resident_mb", "<=", 150)
    row.mark("CPU %", "cpu_percent", "<", 1.0)
    row.notes.append("The process loads what it needs for each provider that is configured: one OpenAI-compatible provider, then three.")
    return row


def _watched(target: Target, seconds: float) -> Values:
    before, began = target.cost(), time.monotonic()
    time.sleep(seconds)
    spent, passed = target.cost().since(before), time.monotonic() - began
    return {
        "resident_mb": target.resident_mb(),
        "proportional_mb": target.proportional_kb() / 1024,
        "cpu_percent": spent.server / passed * 100,
        "database_cpu_percent": spent.database / passed * 100,
    }


def command_help(stage: Stage) -> Row:
    """`pointsman --help`, beside an interpreter that does nothing."""
    row = Row("help", "`pointsman --help`")
    commands = {"floor": [sys.executable, "-c", ""], "pointsman": [str(Path(sys.executable).with_name("pointsman")), "--help"]}
    for name, argv in commands.items():
        row.sides[name] = medians([_run(argv) for _ in range(2 + stage.options.rounds)])
    row.mark("seconds", "seconds", "<=", 0.4)
    return row


def _run(argv: list[str]) -> Values:
    began = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.monotonic() - began}
