"""The ssh runner for the suite, on a real server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.conformance.runners.sshd import ACCOUNT, Sshd, sshd, why_not

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
