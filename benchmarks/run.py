"""`make bench`: the chat path beside the floor in the same run, as ratios and CPU per request; no figure stands alone."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fakes.upstream import start_upstream  # noqa: E402

from benchmarks import load  # noqa: E402 - the repository is no package on the path of a program
from benchmarks.load import Target  # noqa: E402

TOKENS = 50
Started = subprocess.Popen[bytes]


def main() -> None:
    """Measure, print the table, leave it as JSON and Markdown."""
    options = _options()
    with ExitStack() as stack:
        upstream = stack.enter_context(start_upstream(ledger=False))
        floor, floor_process = stack.enter_context(_floor(upstream.openai_url))
        gateway, gateway_process = stack.enter_context(_gateway(upstream.openai_url))
        rows = [_chat_row(options, connections, (floor, floor_process), (gateway, gateway_process)) for connections in (1, 8, 32)]
        rows += [_stream_row(options, (floor, floor_process), (gateway, gateway_process))]
    report = _report(options, rows)
    print(report)
    options.report.mkdir(parents=True, exist_ok=True)
    (options.report / "bench.md").write_text(report)
    (options.report / "bench.json").write_text(json.dumps(rows, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=600, help="chats in each measurement")
    parser.add_argument("--streams", type=int, default=50, help="paced streams at the same time")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--report", type=Path, default=ROOT / "reports", help="folder for bench.md and bench.json")
    return parser.parse_args()


def _chat_row(options: argparse.Namespace, connections: int, *targets: tuple[Target, Started]) -> dict[str, Any]:
    requests = options.requests if connections > 1 else max(50, options.requests // 4)
    row: dict[str, Any] = {"what": f"chat JSON, {TOKENS} tokens, {connections} connections"}
    for target, process in targets:
        rounds: list[tuple[float, float, float]] = []
        asyncio.run(load.chats(target, requests=max(20, connections * 2), connections=connections, tokens=TOKENS))
        for _ in range(options.rounds):
            before = _cpu(process)
            result = asyncio.run(load.chats(target, requests=requests, connections=connections, tokens=TOKENS))
            _refuse_failures(target, result)
            rounds.append((result.per_second, result.percentile(0.5), (_cpu(process) - before) / requests * 1000))
        row[target.name] = {
            "requests_per_second": round(load.median([each[0] for each in rounds]), 1),
            "p50_ms": round(load.median([each[1] for each in rounds]), 2),
            "cpu_ms_per_request": round(load.median([each[2] for each in rounds]), 3),
        }
    row["ratio"] = round(row["pointsman"]["requests_per_second"] / row["floor"]["requests_per_second"], 3)
    return row


def _stream_row(options: argparse.Namespace, *targets: tuple[Target, Started]) -> dict[str, Any]:
    tokens, pause = 100, 20.0
    row: dict[str, Any] = {"what": f"{options.streams} streams of {tokens} tokens, one every {pause:g} ms"}
    for target, process in targets:
        rounds: list[tuple[float, float, float]] = []
        for _ in range(options.rounds):
            before = _cpu(process)
            result = asyncio.run(load.streams(target, streams=options.streams, tokens=tokens, pause_ms=pause))
            _refuse_failures(target, result)
            first = result.percentile(0.5, result.first_tokens)
            rounds.append((result.tokens / result.seconds, first, (_cpu(process) - before) / options.streams * 1000))
        row[target.name] = {
            "tokens_per_second": round(load.median([each[0] for each in rounds]), 1),
            "first_token_p50_ms": round(load.median([each[1] for each in rounds]), 2),
            "cpu_ms_per_stream": round(load.median([each[2] for each in rounds]), 2),
        }
    row["ratio"] = round(row["pointsman"]["tokens_per_second"] / row["floor"]["tokens_per_second"], 3)
    return row


def _refuse_failures(target: Target, result: load.Result) -> None:
    if result.failures:
        raise SystemExit(f"{target.name}: {result.failures} of {len(result.latencies)} requests were not answered in full")


@contextmanager
def _floor(upstream: str) -> Generator[tuple[Target, Started]]:
    port = _free_port()
    argv = [sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--port", str(port), "--log-level", "warning"]
    with _process(argv, {"FLOOR_UPSTREAM": upstream}) as process:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        _wait(f"http://127.0.0.1:{port}/", process)
        yield Target("floor", url, {}, {"model": "fake", "messages": []}, b'"content":"tok'), process


@contextmanager
def _gateway(upstream: str) -> Generator[tuple[Target, Started]]:
    directory, port = Path(tempfile.mkdtemp(prefix="pointsman-bench-")), _free_port()
    environment = {"OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "sk-fake", "POINTSMAN_LOG__LEVEL": "warning"}
    argv = [sys.executable, "-m", "pointsman", "up", "--data-dir", str(directory), "--port", str(port)]
    try:
        with _process(argv, environment) as process:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/readyz", process)
            headers = {"Authorization": "Bearer " + (directory / "admin-key").read_text().strip()}
            config = {"model": "openai:gpt-4o-mini"}
            _post(f"{url}/v2/agents", headers, {"id": "bench", "name": "Bench", "template": "You are a benchmark.", "config": config})
            yield Target("pointsman", f"{url}/v2/agents/bench/chat", headers, {}, b"event: message.delta"), process
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _process(argv: list[str], environment: dict[str, str]) -> Generator[Started]:
    started = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **environment})
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()


def _cpu(process: Started) -> float:
    """Seconds of processor time so far, from /proc: user and system."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(url: str, process: Started, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer")


def _post(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {**headers, "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10):
        pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _report(options: argparse.Namespace, rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Benchmark",
        "",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, median of {options.rounds} rounds; load generator, upstream and",
        "PostgreSQL share the machine. The floor is a proxy without any of the gateway's duties, measured in the same run.",
        "",
        "| what | floor | Pointsman | ratio |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = [", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in row[side].items()) for side in ("floor", "pointsman")]
        lines.append(f"| {row['what']} | {cells[0]} | {cells[1]} | {row['ratio']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
