"""Starts PostgreSQL's programs through the launcher, in the foreground or detached, with nothing of our environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess  # noqa: TID251 - this package owns the database's processes
import sys
from dataclasses import dataclass
from pathlib import Path

from pointsman.kit.embedded_pg.errors import DatabaseStartFailed
from pointsman.kit.embedded_pg.launcher import LaunchOrder

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_LAUNCHER = Path(__file__).with_name("launcher.py")


class ConfinementRefused(Exception):  # noqa: N818 - a fact, handled inside this package
    """The kernel does not grant the namespace or mount that was asked for."""


@dataclass(frozen=True)
class Confinement:
    """As whom, and with which view of the files, a program runs."""

    uid: int
    gid: int
    lent_uid: int | None = None
    mountpoint: str | None = None
    binds: tuple[tuple[str, str], ...] = ()
    passwd_line: str | None = None


def run(argv: list[str], confinement: Confinement, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run to the end and return output and exit code; `timeout` in seconds, after which it is killed and TimeoutExpired raised."""
    with _launched(argv, confinement, subprocess.PIPE, detach=False) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output.decode(errors="replace"))


def spawn(argv: list[str], confinement: Confinement, log: int) -> int:
    """Start a server that outlives us, writing to the descriptor `log`; returns its process id."""
    report, process = _launch(argv, confinement, log, detach=True)
    process.wait()
    return int(report.removeprefix("pid "))


def is_granted(confinement: Confinement) -> bool:
    """Whether the kernel grants this confinement."""
    try:
        _, process = _launch([], confinement, subprocess.DEVNULL, detach=False)
    except ConfinementRefused:
        return False
    return process.wait() == 0


def _launched(argv: list[str], confinement: Confinement, output: int, *, detach: bool) -> subprocess.Popen[bytes]:
    return _launch(argv, confinement, output, detach=detach)[1]


def _launch(argv: list[str], confinement: Confinement, output: int, *, detach: bool) -> tuple[str, subprocess.Popen[bytes]]:
    reader, writer = os.pipe()
    order = _order(argv, confinement, writer, detach=detach)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
            [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.DEVNULL else subprocess.DEVNULL,
            pass_fds=(writer,),
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(reader)
        raise DatabaseStartFailed(
            f"{sys.executable} cannot be run: {error.strerror}.", hint="Use an interpreter that this user may run."
        ) from error
    finally:
        os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as pipe:
        report = pipe.read()
    return _judged(report, process), process


def _order(argv: list[str], confinement: Confinement, report: int, *, detach: bool) -> LaunchOrder:
    return {
        "argv": argv,
        "environment": _ENVIRONMENT,
        "uid": confinement.uid,
        "gid": confinement.gid,
        "lent_uid": confinement.lent_uid,
        "mountpoint": confinement.mountpoint,
        "binds": list(confinement.binds),
        "passwd_line": confinement.passwd_line,
        "detach": detach,
        "report": report,
    }


def _judged(report: str, process: subprocess.Popen[bytes]) -> str:
    last = report.rstrip("\n").rpartition("\n")[2]  # a detached program that cannot be executed says so after its id
    if not last or last.startswith("pid "):
        return last
    process.communicate()
    verdict, _, why = last.partition(" ")
    if verdict == "refused":
        raise ConfinementRefused(why)
    raise DatabaseStartFailed(
        f"The embedded PostgreSQL could not be started: {why}.",
        hint="Install the locked dependencies again if a file is missing.",
    )


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
