"""The ssh runner for the suite, on a real server of the tests' own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.conformance.runners.sshd import ACCOUNT, UID, Sshd, sshd, why_not
from tests.conformance.scene import Kind, Scene

from pointsman.execution.connections import SshConnection
from pointsman.execution.runners.ssh.runner import SshRunner


@pytest.fixture(scope="session")
def ssh_server() -> Iterator[Sshd]:
    """One for all tests of a process."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with sshd() as running:
        yield running


def ssh_runner(server: Sshd, **config: Any) -> SshRunner:
    """A runner on this server."""
    known: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": ACCOUNT,
        "host_key": server.host_key,
        "private_key": {"secret": "guest"},
        "folder": server.root,
    }
    return SshRunner(SshConnection.model_validate(known | config), {"guest": SecretStr(server.private_key)})


def _opener(isolation: str) -> Callable[[Sshd, Path], AbstractAsyncContextManager[Scene]]:
    @asynccontextmanager
    async def open_scene(server: Sshd, _folder: Path) -> AsyncGenerator[Scene]:
        runner, other = (ssh_runner(server, isolation=isolation) for _ in range(2))
        try:
            if isolation == "namespaces" and (await runner.probe()).status == "unhealthy":
                pytest.skip("accounts have no namespaces here")
            yield Scene(
                runner,
                other,
                lambda: leftovers(server),
                bounds_memory=False,
                bounds_processes=isolation != "none",
                isolates=False,  # files are not kept apart
                own_variables=frozenset({"TMPDIR", "SANDBOX_ID"}),
            )
        finally:
            await runner.aclose()
            await other.aclose()

    return open_scene


KINDS = {
    f"ssh-{isolation}": Kind(lambda request: request.getfixturevalue("ssh_server"), _opener(isolation), system=True)
    for isolation in ("namespaces", "none")
}


def leftovers(server: Sshd) -> list[str]:
    """Folders of sandboxes, and processes of the account's but those of its connections."""
    return [*(path.name for path in Path(server.root).glob("*")), *processes()]


def processes() -> list[str]:
    """What the account runs, by process and command line."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == UID:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command and not command.startswith("sshd:"):
                    found.append(f"{entry.name} {command}")
    return found
