"""A seccomp filter against the parts of the kernel that confined programs have no use for, and through which people got out."""

from __future__ import annotations

import ctypes
import os
import struct

from pointsman.kit.confinement.system_calls import PR_SET_SECCOMP, call

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ARGUMENTS = 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW… flag of clone(2) and unshare(2)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_X32 = 0x40000000
_FAMILIES = (1, 2, 10)  # unix, inet, inet6
_NETLINK, _ROUTE = 16, 0

# name -> number on x86_64, on aarch64
_REFUSED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
# audit architecture; the numbers of clone, unshare, clone3, ioctl, socket and socketpair
_MACHINES = {"x86_64": (0xC000003E, 0, (56, 272, 435, 16, 41, 53)), "aarch64": (0xC00000B7, 1, (220, 97, 435, 29, 198, 199))}


def is_known() -> bool:
    """Whether there is a filter for this processor."""
    return os.uname().machine in _MACHINES


def restrict() -> None:
    """Put the filter on this process and its children, which must not be able to gain privileges any more."""
    if not is_known():
        return
    program = build(os.uname().machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = (ctypes.c_uint64 * 2)(len(program) // 8, ctypes.addressof(buffer))
    call("prctl", PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(header), ctypes.c_ulong(0), ctypes.c_ulong(0))


def build(machine: str) -> bytes:
    """The filter as a classic BPF program, eight bytes an instruction."""
    architecture, column, (clone, unshare, clone3, ioctl, socket, socketpair) = _MACHINES[machine]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),  # a 32-bit program would have other numbers
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        steps += [_step(_GREATER_EQUAL, _X32, 0, 1), _step(_RETURN, _ERROR | _ENOSYS)]
    for numbers in _REFUSED.values():
        steps += _refused(numbers[column], _EPERM)
    steps += _refused(clone3, _ENOSYS)  # its flags lie in memory; libc then falls back to clone
    for number in (clone, unshare):
        steps += _when(number, [*_argument(0), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _step(_RETURN, _ERROR | _EPERM)])
    forbidden = [step for request in (_TIOCSTI, _TIOCLINUX) for step in _refused(request, _EPERM)]
    steps += _when(ioctl, [*_argument(1), *forbidden])
    for number in (socket, socketpair):
        steps += _when(number, _families())
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _families() -> list[bytes]:
    netlink = [*_argument(2), _step(_EQUAL, _ROUTE, 0, 1), _step(_RETURN, _ALLOW)]
    allowed = [step for family in _FAMILIES for step in (_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW))]
    return [*_argument(0), *allowed, _step(_EQUAL, _NETLINK, 0, len(netlink)), *netlink, _step(_RETURN, _ERROR | _EAFNOSUPPORT)]


def _when(number: int, steps: list[bytes]) -> list[bytes]:
    """Do the steps for this call, which may fall through to allowing it."""
    return [_step(_EQUAL, number, 0, len(steps) + 1), *steps, _step(_RETURN, _ALLOW)]


def _refused(value: int, error: int) -> list[bytes]:
    return [_step(_EQUAL, value, 0, 1), _step(_RETURN, _ERROR | error)]


def _argument(index: int) -> list[bytes]:
    return [_step(_LOAD, _ARGUMENTS + 8 * index)]  # the lower half: both processors are little-endian


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
