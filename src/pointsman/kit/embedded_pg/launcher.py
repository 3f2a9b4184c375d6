"""Runs one program confined (namespaces, mounts, a lesser account, a session of its own); executed as a script, it imports nothing of ours.

Its one argument is a LaunchOrder as JSON. It answers on the pipe `report`: nothing if the program now runs in this very process,
`pid N` if it was detached, `refused WHY` if the kernel does not grant the confinement, `failed WHY` for anything else.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple, TypedDict

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_SLAVE = 0x2, 0x4, 0x1000, 0x4000, 0x80000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


class LaunchOrder(TypedDict):
    """What to run and how: an empty `argv` only tries whether the confinement is granted."""

    argv: list[str]
    environment: dict[str, str]
    uid: int
    gid: int
    lent_uid: int | None  # be this id inside a user namespace of its own
    mountpoint: str | None  # make a mount namespace, with a small tmpfs here
    binds: list[tuple[str, str]]  # source, name below the mount point
    passwd_line: str | None  # in that namespace /etc/passwd ends with this line
    detach: bool
    report: int


class _Refused(Exception):  # noqa: N818 - a fact, told to the parent
    """The kernel does not grant a namespace or a mount."""


class _Call(NamedTuple):
    """One system call of libc that Python has no name for."""

    name: str
    arguments: tuple[object, ...]

    def __call__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc[self.name](*self.arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def main() -> None:
    """Obey the order; on success this process has become the program, or has started it and ends."""
    order: LaunchOrder = json.loads(sys.argv[1])
    os.set_inheritable(order["report"], False)
    try:
        _confine(order)
        if not order["argv"]:
            return
        if order["detach"] and (pid := os.fork()):
            _report(order, f"pid {pid}")
            os._exit(0)
        _become(order)
    except _Refused as refusal:
        _report(order, f"refused {refusal}")
        os._exit(71)
    except OSError as error:
        _report(order, f"failed {error}")
        os._exit(72)


def _confine(order: LaunchOrder) -> None:
    if order["lent_uid"] is not None:
        _enter_user_namespace(order["lent_uid"])
        return
    if order["mountpoint"] is not None:
        _enter_mount_namespace(Path(order["mountpoint"]), order)
    if os.geteuid() != order["uid"]:
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])


def _enter_user_namespace(lent_uid: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        _Call("unshare", (CLONE_NEWUSER,))()
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{lent_uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{lent_uid} {gid} 1")
    except OSError as error:
        raise _Refused(f"a user namespace: {error.strerror}") from error


def _enter_mount_namespace(mountpoint: Path, order: LaunchOrder) -> None:
    try:
        _Call("unshare", (CLONE_NEWNS,))()
        # slave, not private: what the host unmounts is then unmounted here too, and no disk stays busy because of us
        _mount("none", "/", None, MS_REC | MS_SLAVE)
        # opened inside the namespace (a source from another one cannot be bound) and before the tmpfs may hide them
        sources = [(os.open(source, os.O_PATH), name) for source, name in order["binds"]]
        _mount("tmpfs", str(mountpoint), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
        for source, name in sources:
            _bind(f"/proc/self/fd/{source}", mountpoint / name)
            os.close(source)
        if order["passwd_line"]:
            _bind_passwd(mountpoint / "passwd", order["passwd_line"])
    except OSError as error:
        raise _Refused(f"a private mount namespace: {error.strerror}") from error


def _bind(source: str, target: Path) -> None:
    target.mkdir(parents=True)
    _mount(source, str(target), None, MS_BIND | MS_REC)


def _bind_passwd(copy: Path, line: str) -> None:
    original = Path("/etc/passwd").resolve()
    copy.write_text(original.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n") + f"\n{line}\n", encoding="utf-8")
    copy.chmod(0o644)
    _mount(str(copy), str(original), None, MS_BIND)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _Call("mount", (texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))()


def _become(order: LaunchOrder) -> None:
    _Call("prctl", (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))()
    if order["detach"]:
        os.setsid()  # Ctrl-C in the terminal must reach the gateway only, which drains first
    else:
        _Call("prctl", (PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))()
    os.umask(0o077)
    os.chdir("/")
    os.execve(order["argv"][0], order["argv"], order["environment"])  # noqa: S606 - no shell, a fixed program of ours


def _report(order: LaunchOrder, text: str) -> None:
    os.write(order["report"], f"{text}\n".encode(errors="replace"))


if __name__ == "__main__":
    main()
