"""Programs that are compared or help to look, each in a virtual environment of its own below .cache/, from the configured package index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

_UV = ROOT / ".uv" / "bin" / "uv"


def program(environment: str, package: str, name: str) -> Path:
    """The path of a package's program, installed at the first call. Raises RuntimeError with what the installer said."""
    folder = ROOT / ".cache" / environment
    path = folder / "bin" / name
    if not path.exists():
        _run(str(_UV), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _run(str(_UV), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), package)
    return path


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{' '.join(argv[1:3])}: {error}") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[1:3])}: {done.stderr.strip()[-500:]}")
