"""The other end of the load generator's lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

import msgspec

from benchmarks.jobs import Job, Outcome
from benchmarks.processes import ROOT


class LoadFailedError(Exception):
    """Requests were not answered as they should have been; the row has no figure."""


class Driver:
    """A running load generator."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def run(self, job: Job) -> Outcome:
        """Do the whole job. Raises LoadFailedError unless every answer was right."""
        self.start(job)
        return self.outcome()

    def start(self, job: Job) -> None:
        self._requests.write(msgspec.json.encode(job) + b"\n")
        self._requests.flush()

    def wait_open(self) -> None:
        """Until each connection of an announced job has its first token."""
        line = self._answers.readline()
        if line != b"open\n":
            raise LoadFailedError(f"the streams did not open: {line[:1000].decode(errors='replace')}")

    def stop(self) -> Outcome:
        """End the job as soon as what was asked is answered."""
        self._requests.write(b"stop\n")
        self._requests.flush()
        return self.outcome()

    def outcome(self) -> Outcome:
        """Wait for the end. Raises LoadFailedError unless every answer was right."""
        outcome = msgspec.json.decode(self._answers.readline(), type=Outcome)
        if outcome.failures:
            raise LoadFailedError("; ".join(f"{count} times {reason}" for reason, count in outcome.failures.items()))
        return outcome


@contextmanager
def start_driver() -> Generator[Driver]:
    """Run a load generator until the block ends."""
    argv = [sys.executable, "-m", "benchmarks.generator"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Driver(process.stdin, process.stdout)
        finally:
            process.terminate()
