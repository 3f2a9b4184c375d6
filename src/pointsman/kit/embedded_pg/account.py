"""As whom the server runs: the gateway's own user, or, where that is root, an account that nothing else uses."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pointsman.kit.embedded_pg.errors import ServiceAccountUnnamed

SERVICE_UIDS = range(60931, 60941)
"""User and group ids for the server when the gateway is root: the first one without a name is taken.

No distribution hands them out (they lie between the ids of systemd-homed and those of its dynamic users), and they are
below 65536, so that a rootless container has them too. They need no line in /etc/passwd and get none.
"""

_NOBODY = 65534


@dataclass(frozen=True)
class Account:
    """The ids of the server's account; with `lent_uid` it has that id inside a user namespace of its own."""

    uid: int
    gid: int
    lent_uid: int | None = None

    @property
    def is_named(self) -> bool:
        """Whether the user database knows the id, which only initdb insists on."""
        return self.lent_uid is not None or _name(self.uid) is not None


def choose_account(cluster: Path) -> Account:
    """The account for a cluster, which keeps the one that it was made with."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    with suppress(FileNotFoundError):
        owner = cluster.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
    uid = next((uid for uid in SERVICE_UIDS if _name(uid) is None), SERVICE_UIDS[0])
    if _is_mapped(uid):
        return Account(uid, uid)
    return Account(0, 0, lent_uid=named_uid())  # root of a small user namespace: there is no other id to change to


def named_uid() -> int:
    """Some unprivileged id with a name, to be lent to initdb."""
    found = next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid not in (0, _NOBODY)), None)
    if found is None:
        raise ServiceAccountUnnamed("The user database names nobody but root.", hint="Add a line for an unprivileged user to /etc/passwd.")
    return found


def give_tree(top: Path, uid: int, gid: int) -> None:
    """Make everything below the directory `top` belong to an account; neither `top` nor anything below is followed if it is a link."""
    for _, directories, files, parent in os.fwalk(top):
        os.fchown(parent, uid, gid)
        for name in (*directories, *files):
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _is_mapped(number: int) -> bool:
    return all(_is_in_map(number, Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid"))


def _is_in_map(number: int, table: Path) -> bool:
    rows = [[int(column) for column in line.split()] for line in table.read_text(encoding="ascii").splitlines()]
    return any(first <= number < first + count for first, _, count in rows)
