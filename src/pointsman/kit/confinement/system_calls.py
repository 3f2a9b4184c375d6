"""The system calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 24, 38, 22
PR_SET_CHILD_SUBREAPER = 36

# Numbers of calls younger than 2019 are the same on every processor.
MOUNT_SETATTR, LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 442, 444, 445, 446

_LIBC = ctypes.CDLL(None, use_errno=True)
_CAPABILITY_VERSION = 0x20080522
_AF_INET, _SOCK_DGRAM, _SIOCSIFFLAGS, _IFF_UP_RUNNING = 2, 2, 0x8914, 0x41


def call(name: str, *arguments: object) -> int:
    """Call a function of libc; raises OSError where it answers -1."""
    return _checked(name, _LIBC[name](*arguments))


def system_call(number: int, *arguments: object) -> int:
    """Make a system call by its number; raises OSError where it answers -1."""
    return _checked(f"system call {number}", _LIBC.syscall(number, *arguments))


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system, or with flags bind or change one."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def set_mount_attributes(target: str, attributes: int, *, below: bool = True) -> None:
    """Add attributes to a mount and all below it, which is allowed also where the host has locked others."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = AT_RECURSIVE if below else 0
    system_call(MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), flags, ctypes.byref(wanted), ctypes.c_size_t(32))


def prctl(option: int, value: int) -> None:
    """Change something about this process that takes one number."""
    call("prctl", option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0)))


def drop_bounding_set() -> None:
    """Let no program that is started from here ever gain a capability."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # past the last one that this kernel knows
            return


def drop_capabilities() -> None:
    """Give up every capability."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(header), ctypes.byref(nothing))


def bring_loopback_up() -> None:
    """Let 127.0.0.1 work in a new network namespace, which has nothing else."""
    descriptor = call("socket", _AF_INET, _SOCK_DGRAM, 0)
    try:
        request = ctypes.create_string_buffer(b"lo".ljust(16, b"\0") + _IFF_UP_RUNNING.to_bytes(2, "little") + bytes(22), 40)
        call("ioctl", descriptor, ctypes.c_ulong(_SIOCSIFFLAGS), request)
    finally:
        os.close(descriptor)


def _checked(name: str, result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
