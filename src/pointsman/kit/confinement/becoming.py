"""The last steps of a process on its way to being the confined program: it joins its cgroups and gives up what it does not need."""

from __future__ import annotations

import contextlib
import os
import resource
import signal

from pointsman.kit.confinement import landlock, seccomp
from pointsman.kit.confinement.order import WORKSPACE, Order
from pointsman.kit.confinement.system_calls import (
    CLONE_NEWCGROUP,
    CLONE_NEWUSER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    call,
    drop_bounding_set,
    drop_capabilities,
    prctl,
)
from pointsman.kit.confinement.view import TEMPORARY

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as every shell says it
_STANDARD = 3
_MOST_DESCRIPTORS = 2**20
_MB = 2**20
_PATH = "/usr/local/bin:/usr/bin:/bin"


def become(order: Order, cgroups: list[int]) -> None:
    """Run the program in this process; raises OSError where a step of the confinement fails."""
    os.setsid()  # no terminal: what is typed into one that it does not have, nobody runs
    for number in signal.valid_signals():
        with contextlib.suppress(OSError):  # those that nobody may change
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    join(cgroups)
    _bound(order)
    if order.namespaces:
        os.chdir(WORKSPACE)
        _confine(order)
    else:
        os.chdir(order.workspace)  # while this process may still pass through what lies above
        lose_privileges(order.uid, order.gid)
    _execute(order)


def join(cgroups: list[int]) -> None:
    """Move this process into the cgroups whose `cgroup.procs` are open."""
    for descriptor in cgroups:
        os.write(descriptor, b"0")


def lose_privileges(uid: int, gid: int) -> None:
    """Be the lesser account, with no capability and no way to one."""
    if os.geteuid() == 0 and uid != 0:
        drop_bounding_set()
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _confine(order: Order) -> None:
    _unshare_quietly(CLONE_NEWCGROUP)
    was_root = may_become(order)
    lose_privileges(order.uid, order.gid)
    prctl(PR_SET_DUMPABLE, 1)  # changing ids made /proc/self root's
    if was_root and _unshare_quietly(CLONE_NEWUSER):
        map_own_ids(order.uid, order.gid)
        drop_bounding_set()
    drop_capabilities()
    landlock.restrict([WORKSPACE, *TEMPORARY, *(bind.path for bind in order.binds if bind.writable)])
    seccomp.restrict()


def may_become(order: Order) -> bool:
    """Whether this process is root and can be the order's account: else it works in a user namespace from the beginning."""
    return os.geteuid() == 0 and order.uid != 0


def map_own_ids(uid: int, gid: int) -> None:
    """In a new user namespace be who one is outside: the one id that may be mapped without privileges."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _unshare_quietly(flags: int) -> bool:
    """These two add to a confinement that holds without them, and are not granted everywhere."""
    try:
        call("unshare", flags)
    except OSError:
        return False
    return True


def _bound(order: Order) -> None:
    bounds = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, order.files_mb * _MB), (resource.RLIMIT_NOFILE, order.open_files)]
    if order.processes:
        bounds.append((resource.RLIMIT_NPROC, order.processes))
    if order.memory_mb:
        bounds.append((resource.RLIMIT_DATA, order.memory_mb * _MB))
    for kind, most in bounds:
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
        file.write("500")  # should the host itself run out, this goes before what watches it


def _execute(order: Order) -> None:
    code = NOT_EXECUTABLE
    try:
        os.chdir(order.cwd)
        os.closerange(_STANDARD, _MOST_DESCRIPTORS)
        os.execve(_find(order.argv[0], order.environment.get("PATH", _PATH)), order.argv, order.environment)  # noqa: S606 - no shell
    except FileNotFoundError as error:
        code, why = NOT_FOUND, error.strerror
    except (OSError, ValueError) as error:
        why = str(error)
    os.write(2, f"pointsman: {order.argv[0]} cannot be run in {order.cwd}: {why}\n".encode(errors="replace"))
    os._exit(code)


def _find(program: str, path: str) -> str:
    """The program's file, as a shell finds it; os.execvpe imports modules, which the view does not have."""
    if "/" in program:
        return program
    candidates = [f"{folder or '.'}/{program}" for folder in path.split(":")]
    return next((candidate for candidate in candidates if os.access(candidate, os.X_OK) and not os.path.isdir(candidate)), program)
