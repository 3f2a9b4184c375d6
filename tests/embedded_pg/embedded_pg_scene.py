"""What the tests of the embedded server share: gateways as real processes, under any account and with any view of the files."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from pointsman.kit.embedded_pg.wheel import site_root

Test = TypeVar("Test", bound=Callable[..., object])
HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"
DRIVER = HERE / "gateway_process.py"
NORMAL_UID = 61900  # has no line in /etc/passwd


class Refusal(Exception):  # noqa: N818 - it stands for a Problem
    """A Problem, as the other process told it."""

    def __init__(self, code: str, detail: str, hint: str) -> None:
        super().__init__(f"{code}: {detail} {hint}")
        self.code, self.detail, self.hint = code, detail, hint


class Gateway:
    """One process that uses an embedded server."""

    def __init__(self, data_dir: Path, options: dict[str, str], prefix: list[str], python: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [*prefix, python, str(DRIVER), str(data_dir), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": f"{SOURCE}:{site_root()}", "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            text=True,
            start_new_session=True,
        )
        self.pid: int = self._read()
        self.dsn = ""

    def ask(self, do: str, **fields: Any) -> Any:
        self.send(do, **fields)
        return self._read()

    def send(self, do: str, **fields: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self.process.stdin.flush()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the gateway process ended with {self.process.wait()}"
        said = json.loads(line)
        if "problem" in said:
            raise Refusal(said["problem"], said["detail"], said["hint"])
        return said["answer"]

    receive = _read

    def start(self, timeout: float = 40) -> str:
        self.dsn = self.ask("start", timeout=timeout)
        return self.dsn

    @property
    def socket_directory(self) -> Path:
        return Path(parse_qs(urlsplit(self.dsn).query).get("host", ["/"])[0])

    def stop(self) -> None:
        self.ask("stop")

    def sql(self, text: str) -> str:
        said = self.ask("sql", text=text)
        assert not said["err"], said["err"]
        return said["out"]

    def complaint(self, text: str) -> str:
        return self.ask("sql", text=text)["err"]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.poll() is None:
            with suppress(Refusal):
                self.stop()
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


Launch = Callable[..., Gateway]


def postmasters(data_dir: Path) -> list[int]:
    """The servers whose working directory is this cluster, however they name it."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if words and words[0].endswith(b"/postgres") and (entry / "cwd").samefile(data_dir / "pg" / "data"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def postmaster(data_dir: Path) -> int:
    (pid,) = postmasters(data_dir)
    return pid


def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def as_user(uid: int = NORMAL_UID) -> list[str]:
    # the shell executes the program: setpriv itself still has root's rights when it does
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "sh", "-c", 'exec "$@"', "sh"]


def with_mounts(script: str) -> list[str]:
    """Run `script` in a private mount namespace, then the program."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'set -e; {script}; exec "$@"', "sh"]


@functools.cache
def mounts_work() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*with_mounts("mount -t tmpfs tmpfs /mnt"), "true"], check=False, capture_output=True).returncode == 0


def system_test(skip: pytest.MarkDecorator) -> Callable[[Test], Test]:
    """A mark for tests of `make test-system`, which are skipped with the reason where the machine does not let them run."""

    def marked(test: Test) -> Test:
        return pytest.mark.system(skip(test))

    return marked


@functools.cache
def python_for_everybody() -> str | None:
    """An interpreter that a normal user can run with our sources and the wheel."""
    code = "import sys; assert sys.version_info >= (3, 11); import pointsman.kit.embedded_pg as e; e.binary('psql').stat()"
    environment = {"PYTHONPATH": f"{SOURCE}:{site_root()}", "PYTHONDONTWRITEBYTECODE": "1"}
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        argv = [*as_user(), python, "-c", code]
        if Path(python).exists() and subprocess.run(argv, check=False, capture_output=True, env=environment, cwd="/").returncode == 0:
            return python
    return None


needs_root = system_test(pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))
needs_mounts = system_test(pytest.mark.skipif(not mounts_work(), reason="needs root and permission to mount"))
