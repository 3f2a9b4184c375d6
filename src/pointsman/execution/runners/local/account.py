"""As whom jobs run: the worker's own user, or, where that is root, an account that nothing else uses."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

SANDBOX_UIDS = range(60941, 60951)
"""User and group ids of jobs when the worker is root: the first one without a name is taken.

They follow those of the embedded database's account, so that neither is the other, and are chosen for the same reasons: no distribution
hands them out, and a rootless container has them too.
"""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose processes and files a job's are."""

    uid: int
    gid: int


def choose_account() -> Account:
    """The account of jobs on this host."""
    uid = next((uid for uid in SANDBOX_UIDS if not _is_named(uid)), SANDBOX_UIDS[0])
    if os.geteuid() == 0 and _is_mapped(uid):
        return Account(uid, uid)
    return Account(os.geteuid(), os.getegid())  # root of a small user namespace has no other id either


def _is_named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _is_mapped(number: int) -> bool:
    return all(_is_in_map(number, Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid"))


def _is_in_map(number: int, table: Path) -> bool:
    rows = [[int(column) for column in line.split()] for line in table.read_text(encoding="ascii").splitlines()]
    return any(first <= number < first + count for first, _, count in rows)
