"""The file system that a confined program sees: the system's programs read-only, a workspace, and next to nothing else."""

from __future__ import annotations

import os

from pointsman.kit.confinement.order import WORKSPACE, Order
from pointsman.kit.confinement.system_calls import (
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    call,
    mount,
    set_mount_attributes,
)

_NOLOGIN = "{}:x:{}:{}::/:/usr/sbin/nologin\n"
_READ_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (  # of /etc: what programs need to be found, linked, and to know the time and whom to trust
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - each sandbox has its own
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"))
HIDDEN = ("kcore", "keys", "key-users", "kmsg", "kallsyms", "sched_debug", "sysrq-trigger", "timer_list", "latency_stats", "config.gz")
_FROZEN = ("sys", "irq", "bus", "fs", "acpi", "scsi")


def enter(order: Order) -> None:
    """Make the view and step into it. The caller has mount and pid namespaces of its own, and is the first process of the latter."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", order.stage, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=4k,mode=755")
    os.chdir(order.stage)
    _show_system()
    _write_etc(order)
    _make_devices()
    _mount_temporary(order)
    _bind(order.workspace, WORKSPACE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    for bind in order.binds:
        _bind(bind.source, bind.path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (0 if bind.writable else MOUNT_ATTR_RDONLY))
    _mount_proc()
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    for fixed in ("/", "/dev"):
        set_mount_attributes(fixed, MOUNT_ATTR_RDONLY, below=False)


def etc_files(order: Order) -> dict[str, str]:
    """The files of /etc that are made: no name of the host's users is in them."""
    sandbox = f"sandbox:x:{order.uid}:{order.gid}::{WORKSPACE}:/bin/sh\n"
    files = {
        "/etc/passwd": _NOLOGIN.format("root", 0, 0) + _NOLOGIN.format("nobody", 65534, 65534) + sandbox,
        "/etc/group": f"root:x:0:\nsandbox:x:{order.gid}:\nnogroup:x:65534:\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        "/etc/hostname": "sandbox\n",
    }
    if not order.network:
        files["/etc/hosts"] = "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"
    return files


def _show_system() -> None:
    for path in SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), path[1:])
        elif os.path.isdir(path):
            _bind(path, path, _READ_ONLY)


def _write_etc(order: Order) -> None:
    os.mkdir("etc", 0o755)
    for path, text in etc_files(order).items():
        with open(path[1:], "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path[1:], 0o644)
    for path in SYSTEM_FILES + (NETWORK_FILES if order.network else ()):
        if os.path.exists(path):
            _bind(os.path.realpath(path), path, _READ_ONLY)


def _make_devices() -> None:
    os.mkdir("dev", 0o755)
    mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64,mode=755")
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"/dev/{name}", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
    for name, target in _LINKS:
        os.symlink(target, f"dev/{name}")
    os.mkdir("dev/pts", 0o755)
    mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", "dev/ptmx")


def _mount_temporary(order: Order) -> None:
    os.mkdir("run", 0o755)
    for path in TEMPORARY:
        os.makedirs(path[1:], 0o755, exist_ok=True)
        _mount_tmpfs(path[1:], order)


def _mount_tmpfs(target: str, order: Order) -> None:
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"size={order.tmp_mb}m,nr_inodes={1024 + 64 * order.tmp_mb},mode=1777")


def _bind(source: str, path: str, attributes: int) -> None:
    target = path.lstrip("/")
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)
    set_mount_attributes(target, attributes)


def _mount_proc() -> None:
    os.mkdir("proc", 0o555)
    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in HIDDEN:
        if os.path.exists(f"proc/{name}"):
            mount("/dev/null", f"proc/{name}", None, MS_BIND)
    for name in _FROZEN:
        if os.path.isdir(f"proc/{name}"):
            mount(f"proc/{name}", f"proc/{name}", None, MS_BIND | MS_REC)
            set_mount_attributes(f"proc/{name}", _READ_ONLY | MOUNT_ATTR_NOEXEC)
