"""The same view and namespaces by bubblewrap, which then starts the first process inside."""

from __future__ import annotations

import os
import sys

from pointsman.kit.confinement import view
from pointsman.kit.confinement.order import WORKSPACE, Order
from pointsman.kit.confinement.system_calls import CLONE_NEWNS, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, call, mount

_OURS = "/run/confinement"  # where the code that runs inside lies
_PACKAGE = f"{_OURS}/pointsman/kit/confinement"
_INSIDE = f"import sys; sys.path.append({_OURS!r}); from pointsman.kit.confinement.inside import main; main()"
_MOUNT_POINTS = ("/mnt", "/media", "/srv", "/tmp")  # noqa: S108 - in a mount namespace of our own
_MB = 2**20
_PYTHON = os.path.realpath(sys.executable)  # a virtual environment would be a link to it


def unstaged(order: Order) -> dict[str, str]:
    """Every source where it is: whoever runs bubblewrap is who runs the worker."""
    return {source: source for source in _sources(order)}


def stage(order: Order) -> dict[str, str]:
    """Where the order's account reaches each source: its own path may lead through folders that are root's alone."""
    call("unshare", CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    place = next(path for path in _MOUNT_POINTS if os.path.isdir(path))
    opened = [(source, os.open(source, os.O_PATH | os.O_CLOEXEC)) for source in _sources(order)]
    mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    staged: dict[str, str] = {}
    for number, (source, descriptor) in enumerate(opened):
        staged[source] = f"{place}/{number}"
        if os.path.isdir(source):
            os.mkdir(staged[source], 0o755)
        else:
            os.close(os.open(staged[source], os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        mount(f"/proc/self/fd/{descriptor}", staged[source], None, MS_BIND | MS_REC)
        os.close(descriptor)
    return staged


def run(order: Order, staged: dict[str, str], report: int, cgroups: list[int]) -> None:
    """Become bubblewrap. Raises OSError where it cannot be executed."""
    told = os.memfd_create("order")
    with os.fdopen(os.dup(told), "w", encoding="utf-8") as file:
        file.write(order.text())
    os.lseek(told, 0, os.SEEK_SET)
    kept = [report, told, *cgroups]
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    inside = [_PYTHON, "-I", "-S", "-c", _INSIDE, *map(str, kept)]
    program = order.bubblewrap or "bwrap"
    os.execve(program, [program, *_options(order, staged), "--", *inside], {})  # noqa: S606 - no shell


def _sources(order: Order) -> list[str]:
    return [order.workspace, _here(), *_interpreter(), *(bind.source for bind in order.binds)]


def _here() -> str:
    return os.path.dirname(os.path.abspath(__file__))


def _interpreter() -> list[str]:
    """The folders of this Python, where they do not lie below /usr, which is there anyway."""
    prefixes = dict.fromkeys([sys.base_prefix, sys.base_exec_prefix])
    return [prefix for prefix in prefixes if not f"{prefix}/".startswith("/usr/")]


def _options(order: Order, staged: dict[str, str]) -> list[str]:
    options = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--as-pid-1",
    ]
    options += ["--clearenv", "--hostname", "sandbox", *([] if order.network else ["--unshare-net"])]
    options += _system()
    for path, text in view.etc_files(order).items():
        options += ["--perms", "0644", "--ro-bind-data", str(_data(text)), path]
    for path in view.SYSTEM_FILES + (view.NETWORK_FILES if order.network else ()):
        options += ["--ro-bind-try", os.path.realpath(path), path]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for name in view.HIDDEN:
        if os.path.exists(f"/proc/{name}"):
            options += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for path in view.TEMPORARY:
        options += ["--perms", "1777", "--size", str(order.tmp_mb * _MB), "--tmpfs", path]
    options += ["--dir", "/run", "--bind", staged[order.workspace], WORKSPACE]
    for bind in order.binds:
        options += ["--bind" if bind.writable else "--ro-bind", staged[bind.source], bind.path]
    for prefix in _interpreter():
        options += ["--ro-bind", staged[prefix], prefix]
    options += ["--ro-bind", staged[_here()], _PACKAGE, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return options


def _system() -> list[str]:
    options: list[str] = []
    for path in view.SYSTEM:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    return options


def _data(text: str) -> int:
    descriptor = os.memfd_create("etc", 0)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
