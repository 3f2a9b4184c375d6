"""The processes around one confined program: a launcher outside, the first process inside, with which all others die, and the program.

What they report, a line each: `init PID`, then `exited CODE`, `signalled NUMBER`, `refused WHY` (the kernel does not grant the
confinement) or `failed WHY`, and at last `gone`, once no process of the program's is left.
"""

from __future__ import annotations

import contextlib
import os
import signal

from pointsman.kit.confinement import view, wrapping
from pointsman.kit.confinement.becoming import become, lose_privileges, map_own_ids, may_become
from pointsman.kit.confinement.order import Order
from pointsman.kit.confinement.system_calls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    bring_loopback_up,
    call,
    drop_capabilities,
    prctl,
)

_SET_UP_FAILED = 70


class _Refused(Exception):  # noqa: N818 - a fact, told to the caller
    """The kernel does not grant what the confinement needs."""


def launch(order: Order, report: int, parent: int) -> None:
    """Run the order to its end and leave the process; `parent` is the process that this one must not outlive."""
    _die_with(parent)
    try:
        cgroups = [os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for folder in order.cgroups]
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        if order.bubblewrap:
            _watch(report, _start_bubblewrap(order, report, cgroups))
            _tell(report, "refused bubblewrap does not work here")  # heard only where nothing was said before
        else:
            if order.namespaces:
                _unshare(order)
            _watch(report, _start_init(order, report, cgroups))
        _end_children()  # in namespaces there is none left
        _tell(report, "gone")
    except _Refused as refusal:
        _tell(report, f"refused {refusal}")
    except OSError as error:
        _tell(report, f"failed {error}")
    os._exit(0)


def _watch(report: int, child: int) -> None:
    _let_go_of_streams()
    _tell(report, f"init {child}")
    os.waitpid(child, 0)  # returns once the kernel has ended everything in its namespace


def _start_init(order: Order, report: int, cgroups: list[int]) -> int:
    lifeline, held = os.pipe()
    launcher = os.getpid()
    if child := os.fork():
        os.close(lifeline)  # `held` stays open as long as this process lives
        return child
    os.close(held)
    try:
        if order.namespaces:
            _enter(order)
        be_init(order, report, cgroups, 0 if order.namespaces else launcher, lifeline)
    except _Refused as refusal:
        _tell(report, f"refused {refusal}")
    os._exit(_SET_UP_FAILED)


def _start_bubblewrap(order: Order, report: int, cgroups: list[int]) -> int:
    launcher = os.getpid()
    staged = wrapping.stage(order) if may_become(order) else wrapping.unstaged(order)
    if child := os.fork():
        return child
    try:
        lose_privileges(order.uid, order.gid)
        _die_with(launcher)
        wrapping.run(order, staged, report, cgroups)
    except OSError as error:
        _tell(report, f"refused bubblewrap: {error}")
    os._exit(_SET_UP_FAILED)


def be_init(order: Order, report: int, cgroups: list[int], parent: int, lifeline: int | None = None) -> None:
    """Be the first process inside: while it lives, it fetches the dead; when it ends, the kernel kills whatever is left.

    `lifeline` can be read from once the launcher is dead.
    """
    try:
        prctl(PR_SET_DUMPABLE, 0)  # what runs inside has the same account: it must neither trace nor read this process
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        program = os.fork()
        if program == 0:
            become(order, cgroups)
        for descriptor in cgroups:
            os.close(descriptor)
        _let_go_of_streams()
        lose_privileges(order.uid, order.gid)
        if order.namespaces:
            drop_capabilities()
        _die_with(parent)  # last, for changing ids forgets it
        if lifeline is not None:
            _check(lifeline)
        _tell(report, _await(program))
        os._exit(0)
    except OSError as error:
        _tell(report, f"failed {error}")
    os._exit(_SET_UP_FAILED)


def _unshare(order: Order) -> None:
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (0 if order.network else CLONE_NEWNET)
    plain = not may_become(order)
    ids = os.geteuid(), os.getegid()
    try:
        call("unshare", flags | (CLONE_NEWUSER if plain else 0))
        if plain:
            map_own_ids(*ids)
        call("sethostname", b"sandbox", 7)
        if not order.network:
            bring_loopback_up()
    except OSError as error:
        raise _Refused(f"{'user ' if plain else ''}namespaces: {error}") from error


def _enter(order: Order) -> None:
    try:
        view.enter(order)
    except OSError as error:
        raise _Refused(f"a file system of its own: {error} ({error.filename or order.workspace})") from error


def _await(program: int) -> str:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            return f"exited {code}" if code >= 0 else f"signalled {-code}"


def _end_children() -> None:
    """Without a pid namespace, end whatever the program left: this process inherits it all."""
    while children := _children():
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def _die_with(parent: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(_SET_UP_FAILED)


def _check(lifeline: int) -> None:
    """Whether the launcher still lives: it may have died before the kernel was told that this process has to die with it."""
    os.set_blocking(lifeline, False)
    with contextlib.suppress(BlockingIOError):
        os.read(lifeline, 1)
        os._exit(_SET_UP_FAILED)


def _let_go_of_streams() -> None:
    """The program's streams end when the program ends, not when those around it do."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _tell(report: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(report, f"{text}\n".encode(errors="replace"))
