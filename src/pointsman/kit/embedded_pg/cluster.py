"""Makes a cluster in one piece or not at all, and refuses one that this version of PostgreSQL cannot run."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess  # noqa: TID251 - this package owns the database's processes
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pointsman.kit.embedded_pg.account import give_tree, named_uid
from pointsman.kit.embedded_pg.errors import (
    DatabaseDirectoryDamaged,
    DatabaseOfOtherVersion,
    DatabasePasswordLost,
    DatabaseStartFailed,
    ServiceAccountUnnamed,
)
from pointsman.kit.embedded_pg.launching import Confinement, ConfinementRefused, describe_exit, run
from pointsman.kit.embedded_pg.layout import Layout, disk_full, explained
from pointsman.kit.embedded_pg.locks import open_owned
from pointsman.kit.embedded_pg.placement import Placement, mountpoint
from pointsman.kit.embedded_pg.probing import USER
from pointsman.kit.embedded_pg.wheel import MAJOR_VERSION

_INITDB = (
    f"--username={USER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # sorts the same on every machine: no index breaks when the C library is updated
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_SCRATCH = "init-"
_DISK_FULL = ("No space left on device", "Disk quota exceeded")


def require_cluster(placement: Placement, options: Mapping[str, str], timeout: float) -> None:
    """Make the cluster if there is none, else check that it is whole and of our version; `timeout` in seconds."""
    if placement.layout.exists:
        check_version(placement.layout)
        return
    with explained(placement.layout.data_dir):
        _make(placement, options, timeout)


def check_version(layout: Layout) -> None:
    """Refuse a cluster of another major version, or one without its version file."""
    try:
        found = (layout.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise DatabaseDirectoryDamaged(
            f"{layout.cluster} has no file PG_VERSION.", hint="Restore a backup into a new data directory, or remove this one."
        ) from error
    if found != MAJOR_VERSION:
        raise DatabaseOfOtherVersion(
            f"{layout.cluster} was made by PostgreSQL {found}, and this release runs {MAJOR_VERSION}.",
            hint="Make a backup with the release that made it (`pointsman db backup`) and restore it into a new data directory.",
        )


def read_password(layout: Layout) -> str:
    """The password of an existing cluster."""
    try:
        password = layout.password.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        password = ""
    if not password:
        raise DatabasePasswordLost(
            f"{layout.password} is missing or empty.", hint=f"Put {layout.password} back from a copy of the data directory."
        )
    return password


def list_scratch(home: Path) -> list[Path]:
    """What interrupted attempts to make a cluster left."""
    return sorted(home.glob(f"{_SCRATCH}*"))


def is_disk_full(text: str, directory: Path) -> bool:
    """Whether a program failed for want of space, also where it had no room left to say so."""
    return any(sentence in text for sentence in _DISK_FULL) or shutil.disk_usage(directory).free < 2**20


def _make(placement: Placement, options: Mapping[str, str], timeout: float) -> None:
    layout, account = placement.layout, placement.account
    for left in list_scratch(layout.home):
        shutil.rmtree(left)
    password = _new_password(layout)
    name = f"{_SCRATCH}{secrets.token_hex(4)}"
    scratch = layout.home / name
    scratch.mkdir(mode=0o700)
    try:
        (scratch / "password").touch(mode=0o600)
        (scratch / "password").write_text(password, encoding="ascii")
        _initdb(placement, name, options, timeout)
        if os.geteuid() == 0:
            give_tree(layout.home, account.uid, account.gid)
        (scratch / "data").rename(layout.cluster)
        _sync(layout.home)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _initdb(placement: Placement, scratch: str, options: Mapping[str, str], timeout: float) -> None:
    where = placement.home / scratch
    argv = [str(placement.programs / "initdb"), *_INITDB, f"--pgdata={where / 'data'}", f"--pwfile={where / 'password'}"]
    if options.get("fsync") == "off":
        argv.append("--no-sync")
    try:
        result = _run_named(argv, placement, timeout)
    except subprocess.TimeoutExpired as error:
        raise DatabaseStartFailed(
            f"Making the cluster took longer than {timeout:.0f} s.", hint="The disk seems very slow: try again with a longer time limit."
        ) from error
    if result.returncode == 0:
        return
    if is_disk_full(result.stdout, placement.layout.data_dir):
        raise disk_full(placement.layout.data_dir)
    raise DatabaseStartFailed(
        f"Making the cluster failed: initdb {describe_exit(result.returncode)}: {_errors(result.stdout)}",
        hint="Correct what the message names and start again; nothing was left behind.",
    )


def _run_named(argv: list[str], placement: Placement, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run initdb, which refuses a user id without a name, as an id that has one in its own view of the system."""
    account, confinement, home = placement.account, placement.confinement, placement.layout.home
    if account.is_named:
        _give(home, confinement)
        return run(argv, confinement, timeout)
    if os.geteuid() != 0:
        return _run_lent(argv, confinement, timeout)
    line = f"pointsman-db:x:{account.uid}:{account.gid}::/:/usr/sbin/nologin"
    _give(home, confinement)
    try:
        return run(argv, replace(confinement, mountpoint=mountpoint(), passwd_line=line), timeout)
    except ConfinementRefused:
        # without mounts a named account lends its id for this second; what it made is given to the server's account afterwards
        borrowed = replace(confinement, uid=named_uid(), gid=named_uid())
        _give(home, borrowed)
        return run(argv, borrowed, timeout)


def _run_lent(argv: list[str], confinement: Confinement, timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return run(argv, replace(confinement, lent_uid=named_uid()), timeout)
    except ConfinementRefused as refusal:
        raise ServiceAccountUnnamed(
            f"User {confinement.uid} has no name, and the kernel refused {refusal}.",
            hint=f"Add a line for user {confinement.uid} to /etc/passwd, or set POINTSMAN_DATABASE__URL to use a PostgreSQL server.",
        ) from refusal


def _give(home: Path, confinement: Confinement) -> None:
    if os.geteuid() == 0:
        give_tree(home, confinement.uid, confinement.gid)


def _new_password(layout: Layout) -> str:
    # before the cluster: whichever moment we die in, a cluster that exists has its password
    password = secrets.token_urlsafe(24)
    with os.fdopen(open_owned(layout.data_dir, layout.password.name), "r+", encoding="ascii") as file:
        file.truncate(0)
        os.fchmod(file.fileno(), 0o600)
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    return password


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _errors(output: str) -> str:
    telling = [line for line in output.splitlines() if "error:" in line or "FATAL" in line or "could not" in line]
    return " ".join((telling or output.splitlines())[-3:])[:600]
