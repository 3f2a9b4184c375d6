"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import percentile
from benchmarks.processes import ROOT
from pointsman.kit.embedded_pg import binary


def facts() -> list[str]:
    """Sentences about this machine, before anything runs on it."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return [
        f"{cores} cores ({_processor()}), {_memory_gb():.0f} GB, Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"load average before: {load}; an fsync of 8 KB takes {_fsync_ms():.2f} ms (median of 100)",
        f"{_postgres()}, durable (fsync and synchronous_commit on), as `pointsman up` starts it",
        "load generator, fake upstream, PostgreSQL and the servers under measurement share these cores",
    ]


def _postgres() -> str:
    return subprocess.run([str(binary("postgres")), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _fsync_ms() -> float:
    times: list[float] = []
    with tempfile.TemporaryFile(dir=ROOT if os.access(ROOT, os.W_OK) else None) as file:
        for _ in range(100):
            file.write(b"x" * 8192)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return percentile(times, 0.5)
