"""Starts the fake upstream in a process of its own and reads its ledger.

with start_upstream() as upstream:
    settings = Settings(openai_base_url=upstream.openai_url, openai_api_key="sk-fake")
    ...
    assert upstream.last()["usage"]["prompt_tokens"] == answer.usage.prompt_tokens
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


class Upstream:
    """A running fake upstream."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid  # of the process that listens
        self.url = f"http://127.0.0.1:{port}"
        self.openai_url = f"{self.url}/v1"  # OpenAI Chat Completions and Responses, and every OpenAI-compatible provider
        self.anthropic_url = self.url
        self.google_url = self.url

    def ledger(self, *, compact: bool = False) -> list[dict[str, Any]]:
        """What it served, oldest first: see `upstream_server.Entry`; compact: without bodies and headers."""
        return self._call("GET", "/_ledger?compact=1" if compact else "/_ledger")

    def last(self) -> dict[str, Any]:
        """The newest entry of the ledger."""
        return self.ledger()[-1]

    def settled(self, *, within: float = 5.0, compact: bool = False) -> list[dict[str, Any]]:
        """The ledger once every request in it ended, completed or not."""
        deadline = time.monotonic() + within
        while any(entry["status"] in {0, 200} and not (entry["completed"] or entry["aborted"]) for entry in self.ledger(compact=True)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return self.ledger(compact=compact)

    def take(self) -> list[dict[str, Any]]:
        """What has ended, compact; it leaves the ledger, which holds no more than the newest 20,000."""
        return self._call("GET", "/_ledger?compact=1&take=1")

    def reset(self) -> None:
        """Forget the ledger, the failures counted and the defaults set."""
        self._call("POST", "/_reset")

    def defaults(self, **markers: object) -> None:
        """Markers for all requests that do not say otherwise."""
        self._call("POST", "/_ctl?" + urllib.parse.urlencode(markers))

    def _call(self, method: str, path: str) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def start_upstream(*, port: int = 0, procs: int = 1, ledger: bool = True) -> Generator[Upstream]:
    """Run the fake upstream on a free loopback port until the block ends."""
    argv = [sys.executable, "-m", "tests.fakes.upstream_server", "--port", str(port), "--procs", str(procs), "--until-stdin-closes"]
    argv += [] if ledger else ["--no-ledger"]
    process = subprocess.Popen(argv, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        if not line.strip().isdecimal():
            raise RuntimeError(f"the fake upstream did not start: {line!r}")
        yield Upstream(int(line), process.pid)
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
