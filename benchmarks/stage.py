"""The stage: the fake upstream, the floor, one gateway process with its database, and the load generator."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.upstream import Upstream, start_upstream

from benchmarks.driver import Driver, start_driver
from benchmarks.gateways import prepare, start_gateway
from benchmarks.measuring import Load, compare
from benchmarks.peers import start_peer
from benchmarks.processes import free_port, started, wait_until_answers
from benchmarks.results import Row
from benchmarks.targets import Gateway, Target


@dataclass
class Stage:
    """Everything a row needs."""

    options: argparse.Namespace
    folder: Path
    upstream: Upstream
    driver: Driver
    floor: Target
    gateway: Gateway
    stack: ExitStack
    peers: list[Target] = field(default_factory=list[Target])
    notes: list[str] = field(default_factory=list[str])
    others: dict[str, Gateway] = field(default_factory=dict[str, Gateway])

    def compare(self, row: Row, load: Load, targets: list[Target] | None = None) -> None:
        """Measure the load against the floor, the gateway and its peers, or those given, into the row."""
        targets = [self.floor, self.gateway, *self.peers] if targets is None else targets
        found = compare(self.driver, targets, load, rounds=self.options.rounds, upstream_pid=self.upstream.pid)
        row.sides |= found.sides
        row.notes += found.notes

    def other(self, name: str) -> Gateway:
        """A further gateway, with a database of its own, that stays until the end."""
        if name not in self.others:
            gateway = self.stack.enter_context(start_gateway(self.upstream, self.folder, self.folder / name))
            prepare(gateway)
            gateway.settle()
            self.others[name] = gateway
        return self.others[name]


@contextmanager
def set_up(options: argparse.Namespace) -> Generator[Stage]:
    """Start all of it, and stop it when the block ends."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pointsman-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        upstream = stack.enter_context(start_upstream(ledger=False))
        driver = stack.enter_context(start_driver())
        floor = stack.enter_context(start_floor(upstream, folder))
        gateway = stack.enter_context(start_gateway(upstream, folder, folder / "data"))
        stage = Stage(options, folder, upstream, driver, floor, gateway, stack)
        prepare(gateway)
        for name in options.peers:
            try:
                stage.peers.append(stack.enter_context(start_peer(name, upstream, folder)))
            except RuntimeError as error:
                stage.notes.append(f"{name} could not be measured: {error}")
        gateway.settle()
        yield stage


@contextmanager
def start_floor(upstream: Upstream, folder: Path) -> Generator[Target]:
    """The pass-through proxy, on the HTTP server that the gateway uses."""
    port, log = free_port(), folder / "floor.log"
    argv = [sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    with started(argv, {"FLOOR_UPSTREAM": upstream.url}, log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/livez", process, log)
        yield Target("floor", [port], [process.pid])
