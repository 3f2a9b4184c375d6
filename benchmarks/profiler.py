"""`make profile`: where the gateway's processor time goes under a load, by package and by function, sampled by py-spy."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import chats, progress
from benchmarks.processes import ROOT
from benchmarks.stage import Stage, set_up
from benchmarks.targets import Ask
from benchmarks.venvs import program

Stack = tuple[list[str], int]  # frames, the outermost first, and how often they were seen
_LOADS = {
    "chat": chats(Ask(tokens=50), requests=0, connections=8),
    "tools": chats(Ask(tokens=50, agent="tools", markers=" [[tool=current_time]] [[tool=current_time]]"), requests=0, connections=8),
    "stream": chats(Ask(tokens=100, pause_ms=20, stream=True), requests=0, connections=200),
    "claude": chats(Ask(tokens=200, stream=True, agent="claude"), requests=0, connections=8),
    "gemini": chats(Ask(tokens=200, stream=True, agent="gemini"), requests=0, connections=8),
}
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?):(?P<line>\d+)\)$")


def main() -> None:
    """Sample, and print the shares."""
    options = _options()
    spy = program("profile", "py-spy", "py-spy")
    with set_up(options) as stage:
        stacks = _sampled(spy, stage, options)
    print(_table("Self time by package", stacks, by=_innermost_package))
    print(_table("Self time by function", stacks, by=_innermost))
    print(_table("Time in a function of ours and below it", stacks, by=_ours))


def _sampled(spy: Path, stage: Stage, options: argparse.Namespace) -> list[Stack]:
    load = _LOADS[options.load]
    gateway = stage.gateway
    stage.driver.run(load.job(gateway, load.connections * 4))
    before = gateway.cost()
    stage.driver.start(load.job(gateway, 1_000_000))
    folded = stage.folder / "stacks.txt"
    argv = [str(spy), "record", "--pid", str(gateway.pids[0]), "--duration", str(options.duration), "--rate", "250", "--nonblocking"]
    done = subprocess.run([*argv, "--format", "raw", "--output", str(folded)], capture_output=True, text=True, check=False)
    outcome = stage.driver.stop()
    if done.returncode:
        raise SystemExit(f"profile: py-spy could not sample the gateway: {done.stderr[-500:]}")
    spent, count = gateway.cost().since(before), len(outcome.latencies)
    progress(
        f"profile: {count} requests in {outcome.seconds:.1f} s: {count / outcome.seconds:.0f}/s,"
        f" {spent.server / count * 1000:.2f} + {spent.database / count * 1000:.2f} CPU ms"
    )
    options.report.mkdir(parents=True, exist_ok=True)
    kept = options.report / f"stacks-{options.load}.txt"
    kept.write_text(folded.read_text())
    progress(f"profile: the stacks, folded for flame graphs, are in {kept}")
    lines = (line.rpartition(" ") for line in folded.read_text().splitlines())
    return [(stack.split(";"), int(samples)) for stack, _, samples in lines]


def _table(title: str, stacks: list[Stack], *, by: Callable[[list[str]], list[str]], most: int = 40) -> str:
    counts = Counter[str]()
    for stack, samples in stacks:
        for name in by(stack):
            counts[name] += samples
    total = sum(samples for _, samples in stacks) or 1
    rows = [f"{count / total:6.1%}  {name}" for name, count in counts.most_common(most)]
    return "\n".join([f"\n{title} ({total} samples)", *rows])


def _innermost_package(stack: list[str]) -> list[str]:
    """The package of the innermost frame that is not of the standard library; the loop itself where no callback runs."""
    if stack[-1].startswith("Runner.run "):
        return ["event loop"]
    for frame in reversed(stack):
        package = _package(frame)
        if package != "stdlib":
            return [package]
    return ["stdlib"]


def _innermost(stack: list[str]) -> list[str]:
    return [_function(stack[-1])]


def _ours(stack: list[str]) -> list[str]:
    return list({_function(frame) for frame in stack if _package(frame).startswith("pointsman")})


def _function(frame: str) -> str:
    found = _FRAME.match(frame)
    return f"{found['file']} {found['function']}" if found else frame


def _package(frame: str) -> str:
    found = _FRAME.match(frame)
    file = found["file"] if found else ""
    parts = file.split("/")
    if parts[0] == "pointsman":
        return ".".join(parts[:2]).removesuffix(".py")
    return parts[0] if len(parts) > 1 and parts[0] not in {"asyncio", "json"} else "stdlib"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", choices=_LOADS, default="chat")
    parser.add_argument("--duration", type=int, default=8, help="seconds")
    parser.set_defaults(peers=[])
    parser.add_argument("--report", type=Path, default=ROOT / "reports" / "bench", help="folder for the folded stacks")
    return parser.parse_args()


if __name__ == "__main__":
    main()
