"""The ssh runner on a real server: who is at the other end, words that would be commands, broken connections, what daemons try."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr
from tests.conformance.runners.ssh import leftovers, processes, ssh_runner
from tests.conformance.runners.sshd import ACCOUNT, UID, Sshd
from tests.conformance.scene import run, spec

from pointsman.execution.connections import SshConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Mount, Sandbox
from pointsman.execution.runners.ssh.runner import SshRunner

pytestmark = pytest.mark.system


@asynccontextmanager
async def sandbox(server: Sshd, isolation: str = "auto") -> AsyncGenerator[Sandbox]:
    runner = ssh_runner(server, isolation=isolation)
    opened = await runner.open(spec(env={"TOKEN": "not-for-other-eyes"}))
    try:
        yield opened
    finally:
        await opened.close()
        await runner.aclose()
        assert leftovers(server) == []


async def test_a_host_that_shows_another_key_is_not_talked_to(ssh_server: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    runner = ssh_runner(ssh_server, host_key=other)
    health = await runner.probe()
    assert (health.status, "is not the host whose key is pinned" in health.detail) == ("unhealthy", True)
    with pytest.raises(TargetFailed) as failed:
        await runner.open(spec())
    assert f"`ssh-keyscan -p {ssh_server.port} 127.0.0.1`" in failed.value.hint
    await runner.aclose()


async def test_a_key_that_is_not_accepted_is_told_with_what_to_do(ssh_server: Sshd) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    known = {"host": "127.0.0.1", "port": ssh_server.port, "user": ACCOUNT, "host_key": ssh_server.host_key, "private_key": {"secret": "k"}}
    runner = SshRunner(SshConnection.model_validate(known), {"k": SecretStr(stranger)})
    with pytest.raises(TargetFailed, match="does not accept the key") as failed:
        await runner.open(spec())
    assert "authorized_keys" in failed.value.hint
    await runner.aclose()


@pytest.mark.parametrize(("held", "told"), [({}, "POINTSMAN_SECRETS__K"), ({"k": SecretStr("no key")}, "as ssh-keygen writes it")])
async def test_a_secret_that_is_missing_or_no_key_is_named_and_never_shown(ssh_server: Sshd, held: dict[str, SecretStr], told: str) -> None:
    known = {"host": "127.0.0.1", "port": ssh_server.port, "user": ACCOUNT, "host_key": ssh_server.host_key, "private_key": {"secret": "k"}}
    health = await SshRunner(SshConnection.model_validate(known), held).probe()
    assert (health.status, told in health.detail, "no key" in health.detail) == ("unhealthy", True, False)


async def test_a_host_that_is_not_there_is_unhealthy(ssh_server: Sshd) -> None:
    health = await ssh_runner(ssh_server, port=1).probe()
    assert (health.status, "cannot be connected to" in health.detail) == ("unhealthy", True)


@pytest.mark.parametrize("isolation", ["auto", "none"])
async def test_no_word_becomes_a_command(ssh_server: Sshd, isolation: str) -> None:
    """Each would leave a file behind if any shell on the way read it."""
    canary = ssh_server.folder / "home" / "canary"
    evil = [
        f"$(touch {canary})",
        f"`touch {canary}`",
        f"'; touch {canary}; '",
        f'"; touch {canary}; "',
        f"\ntouch {canary}\n",
        f"| touch {canary}",
    ]
    async with sandbox(ssh_server, isolation) as opened:
        for word in evil:
            assert (await run(opened, "printf", "%s", word, env={"EVIL": word}, stdin=word.encode())).stdout.decode() == word
            await run(opened, word)
            assert (await run(opened, "true", cwd=word)).code == 126
            await opened.download([word.strip("/") + "x"])
            with pytest.raises(SandboxRefused):
                await run(opened, "true", env={word: "x"})
            with pytest.raises(SandboxRefused):
                await ssh_runner(ssh_server).reap(word)
    assert not canary.exists()


async def test_what_the_environment_holds_is_in_no_command_line_of_the_host(ssh_server: Sshd) -> None:
    async with sandbox(ssh_server) as opened:
        running = asyncio.create_task(run(opened, "sleep", "60", env={"OTHER": "nor-this-for-them"}))
        await asyncio.sleep(0.5)
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert any(b"sleep\x0060" in line for line in lines)
        assert not any(b"not-for-other-eyes" in line or b"nor-this-for-them" in line for line in lines)
        running.cancel()
        await asyncio.wait({running})


async def test_a_daemon_that_hides_its_origin_ends_with_its_namespace(ssh_server: Sshd) -> None:
    async with sandbox(ssh_server, "namespaces") as opened:
        hidden = "(env -i setsid sh -c 'exec sleep 61' >/dev/null 2>&1 &) & sleep 0.3"
        assert (await run(opened, "sh", "-c", hidden)).code == 0
        assert [line for line in processes() if "sleep 61" in line] == []
        interfaces = (await run(opened, "cat", "/proc/net/dev")).stdout.decode().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


async def test_mounts_and_namespaces_that_cannot_be_had_are_refused(ssh_server: Sshd) -> None:
    runner = ssh_runner(ssh_server)
    with pytest.raises(SandboxRefused, match="no mounts"):
        await runner.open(spec(mounts=(Mount("/srv", "/srv"),)))
    await runner.aclose()


async def test_a_broken_connection_fails_its_command_and_is_made_anew(ssh_server: Sshd) -> None:
    async with sandbox(ssh_server) as opened:
        running = asyncio.create_task(run(opened, "sleep", "60"))
        await asyncio.sleep(0.5)
        for pid in connections():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(TargetFailed):
            await running
        assert [line for line in processes() if "sleep 60" in line] == []
        assert (await run(opened, "echo", "on")).stdout == b"on\n"


async def test_more_commands_than_a_connection_has_sessions_run_at_once(ssh_server: Sshd) -> None:
    async with sandbox(ssh_server) as opened:
        ran = await asyncio.gather(*(run(opened, "sh", "-c", f"sleep 0.5; echo {number}") for number in range(24)))
        assert [each.stdout for each in ran] == [f"{number}\n".encode() for number in range(24)]


def connections() -> list[int]:
    """The server's processes that run as the account, and those above them, which run as root."""
    lines = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return [int(pid) for pid, line in lines.items() if line.startswith(f"sshd: {ACCOUNT}".encode())]


def test_the_account_of_the_tests_is_no_account_of_this_machine() -> None:
    assert str(UID) not in [line.split(":")[2] for line in Path("/etc/passwd").read_text().splitlines()]
