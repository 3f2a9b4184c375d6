"""Landlock: what the view lets through is asked for once more, by a mechanism that knows nothing of mounts."""

from __future__ import annotations

import ctypes
import os

from pointsman.kit.confinement.system_calls import (
    LANDLOCK_ADD_RULE,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_RESTRICT_SELF,
    system_call,
)

_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ACCESS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICES = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV


def version() -> int:
    """The kernel's version of Landlock; 0 where it has none, or it is switched off."""
    try:
        return system_call(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    except OSError:
        return 0


def restrict(writable: list[str]) -> None:
    """Let this process and its children write below `writable` and to devices only; nothing where the kernel has no Landlock.

    From version 6 on, signals and abstract sockets end at the sandbox as well, which counts where it shares the host's network.
    """
    known = version()
    if not known:
        return
    handled = _ACCESS_BY_VERSION[min(known, max(_ACCESS_BY_VERSION))]
    scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if known >= 6 else 0
    attributes = (ctypes.c_uint64 * 3)(handled, 0, scopes)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    rules = system_call(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    try:
        _allow(rules, "/", handled & _READ)
        _allow(rules, "/dev", handled & _DEVICES)
        for path in writable:
            _allow(rules, path, handled)
        system_call(LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(access.to_bytes(8, "little") + folder.to_bytes(4, "little"), 12)
        system_call(LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(folder)
