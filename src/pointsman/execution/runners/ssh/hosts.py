"""The connections to one SSH host: pinned by its key, shared by sandboxes, made anew when they break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from pointsman.execution.connections import SshConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import OnOutput
from pointsman.execution.runners.ssh.scripts import opening
from pointsman.execution.secrets import Secrets, reveal

_SHARED = 8  # sessions on one connection: servers allow ten by default
_CONNECT = 10.0
_KEEPALIVE = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended on the host: by exit code, or by a signal without `SIG`."""

    code: int | None
    signal: str | None = None


@dataclass(slots=True)
class _Shared:
    link: asyncssh.SSHClientConnection
    used: int = 0


class SshHost:
    """An account on a host."""

    def __init__(self, connection: SshConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._secrets = secrets
        self._links: list[_Shared] = []
        self._opening = asyncio.Lock()

    @property
    def address(self) -> str:
        """Who where, for messages."""
        return f"{self._connection.user}@{self._connection.host}:{self._connection.port}"

    async def run(self, script: str, *, mark: str = "", stdin: bytes = b"", on_output: OnOutput) -> Ended:
        """Run a script to its end; by its mark another one can find it.

        Raises TargetFailed where the host cannot be talked to, or not to the end.
        Cancelled, it stops listening; what runs there has to be ended by another script.
        """
        command, head = opening(script, mark)
        async with self._session(command) as process:
            await asyncio.gather(
                _say(process.stdin, head + stdin),
                _hear(process.stdout, "stdout", on_output),
                _hear(process.stderr, "stderr", on_output),
            )
            await process.wait_closed()
            signal = process.exit_signal
            if signal is not None:
                return Ended(None, signal[0])
            if process.exit_status is None:
                raise TargetFailed(f"The connection to {self.address} broke while a command ran.", hint=_REACHING)
            return Ended(process.exit_status)

    async def ask(self, script: str, *, stdin: bytes = b"", seconds: float = 30) -> tuple[Ended, bytes, str]:
        """Run a script of ours: its end, what it said, and its complaint. Raises TargetFailed, also where that takes too long."""
        said: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        try:
            async with asyncio.timeout(seconds):
                ended = await self.run(script, stdin=stdin, on_output=lambda stream, data: said[stream].extend(data))
        except TimeoutError:
            raise TargetFailed(f"{self.address} did not answer within {seconds:g} s.", hint=_REACHING) from None
        return ended, bytes(said["stdout"]), said["stderr"].decode(errors="replace").strip()[:500]

    async def aclose(self) -> None:
        """Close the connections."""
        links, self._links = self._links, []
        for shared in links:
            shared.link.close()
            await shared.link.wait_closed()

    @asynccontextmanager
    async def _session(self, command: str) -> AsyncGenerator[asyncssh.SSHClientProcess[bytes]]:
        shared = await self._link()
        shared.used += 1
        try:
            process = await shared.link.create_process(command, encoding=None)
            try:
                yield process
            finally:
                process.close()  # the server confirms it only when what runs there has ended, which is not for this to wait for
        except (asyncssh.Error, OSError) as error:
            raise TargetFailed(f"The connection to {self.address} broke: {error}.", hint=_REACHING) from error
        finally:
            shared.used -= 1

    async def _link(self) -> _Shared:
        """A connection with room for one more session."""
        async with self._opening:
            self._links = [shared for shared in self._links if not shared.link.is_closed()]
            for shared in self._links:
                if shared.used < _SHARED:
                    return shared
            self._links.append(_Shared(await self._connect()))
            return self._links[-1]

    async def _connect(self) -> asyncssh.SSHClientConnection:
        key, pinned = self._keys()
        try:
            async with asyncio.timeout(_CONNECT):
                return await asyncssh.connect(
                    self._connection.host,
                    self._connection.port,
                    username=self._connection.user,
                    client_keys=[key],
                    known_hosts=([pinned], [], []),
                    config=None,  # nothing of the account that this process runs as: neither its config nor its keys nor its agent
                    agent_path=None,
                    preferred_auth="publickey",
                    keepalive_interval=_KEEPALIVE,
                    keepalive_count_max=2,
                )
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise self._told(error) from error

    def _keys(self) -> tuple[asyncssh.SSHKey, asyncssh.SSHKey]:
        """Our private key, and the host's public one. Raises TargetFailed."""
        named = self._connection.passphrase
        passphrase = reveal(named, self._secrets) if named is not None else None
        try:
            key = asyncssh.import_private_key(reveal(self._connection.private_key, self._secrets), passphrase)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            secret = self._connection.private_key.secret.upper()
            hint = f"POINTSMAN_SECRETS__{secret} is a private key as ssh-keygen writes it, line ends included; `passphrase` opens it."
            raise TargetFailed(f"The private key cannot be read: {error}.", hint=hint) from None
        try:
            return key, asyncssh.import_public_key(self._connection.host_key)
        except asyncssh.KeyImportError as error:
            raise TargetFailed(f"`host_key` cannot be read: {error}.", hint=_PINNING.format(self._connection)) from None

    def _told(self, error: Exception) -> TargetFailed:
        match error:
            case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed():
                detail = f"{self.address} is not the host whose key is pinned: it shows another one."
                return TargetFailed(detail, hint=_PINNING.format(self._connection))
            case asyncssh.PermissionDenied():
                hint = f"Is the public half of the key in ~/.ssh/authorized_keys of {self._connection.user} there?"
                return TargetFailed(f"{self.address} does not accept the key.", hint=hint)
            case TimeoutError():
                return TargetFailed(f"{self.address} did not answer within {_CONNECT:g} s.", hint=_REACHING)
            case _:
                return TargetFailed(f"{self.address} cannot be connected to: {error or type(error).__name__}.", hint=_REACHING)


async def _say(stdin: asyncssh.SSHWriter[bytes], data: bytes) -> None:
    """A command that ends without reading all of it is none the worse for that."""
    try:
        stdin.write(data)
        await stdin.drain()
        stdin.write_eof()
    except BrokenPipeError:
        return


async def _hear(output: asyncssh.SSHReader[bytes], stream: str, on_output: OnOutput) -> None:
    while data := await output.read(65536):
        on_output("stdout" if stream == "stdout" else "stderr", data)


_REACHING = "Is its SSH server running, and reachable from here? `connection_config` has its host and port."
_PINNING = (
    "If its key was changed on purpose, put what `ssh-keyscan -p {0.port} {0.host}` says, seen over a way that you trust, into `host_key`; "
    "else somebody may stand between."
)
