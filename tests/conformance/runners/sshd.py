"""An SSH server of the tests' own, on loopback, with an account that is in no file of this machine's."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import asyncssh

ACCOUNT, UID = "pm-guest", 64130
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {account}
MaxStartups 100
LogLevel VERBOSE
"""


@dataclass
class Sshd:
    """A running server: where it is, who may log in, and the key that it shows."""

    port: int
    host_key: str
    private_key: str
    folder: Path

    @property
    def root(self) -> str:
        """A folder for sandboxes."""
        return f"{self.folder}/sandboxes"


def why_not() -> str | None:
    """Why no server can be started here."""
    if os.geteuid() != 0:
        return "an sshd with an account of its own needs root"
    if shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") is None:
        return "sshd is not installed; on Debian: apt-get install openssh-server"
    return None


@contextlib.contextmanager
def sshd() -> Generator[Sshd]:
    """One server. At its end no process and no folder of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="pm-sshd-"))
    try:
        folder.chmod(0o755)
        server = _prepared(folder)
        process = _start(folder)
        try:
            _await(server, process)
            yield server
        finally:
            _end(process)
    finally:
        shutil.rmtree(folder)


def _prepared(folder: Path) -> Sshd:
    host, guest = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(folder / "host_key")
    (folder / "host_key").chmod(0o600)
    guest.write_public_key(folder / "authorized_keys")
    home = folder / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    sandboxes = folder / "sandboxes"
    sandboxes.mkdir(mode=0o700)
    os.chown(sandboxes, UID, UID)
    port = _free_port()
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder, account=ACCOUNT))
    (folder / "passwd").write_text(f"{Path('/etc/passwd').read_text().rstrip()}\n{ACCOUNT}:x:{UID}:{UID}::{home}:/bin/sh\n")
    keys = [key.export_public_key().decode().strip() for key in (host,)]
    return Sshd(port, keys[0], guest.export_private_key().decode(), folder)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """In a mount namespace of its own, where the account is known; it ends with whoever started it."""
    passwd, config = shlex.quote(f"{folder}/passwd"), shlex.quote(f"{folder}/config")
    inside = (
        f"mount --bind {passwd} /etc/passwd && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd"
        f" && exec setpriv --pdeathsig TERM /usr/sbin/sshd -D -e -f {config}"
    )
    with (folder / "log").open("ab") as log:
        command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "sh", "-c", inside]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _await(server: Sshd, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"sshd did not start:\n{(server.folder / 'log').read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
