"""Where the server sees its files: as they are, through a private mount namespace, or staged where its account can reach them."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from errno import ENOTDIR
from pathlib import Path

from pointsman.kit.embedded_pg.account import Account, choose_account, give_tree
from pointsman.kit.embedded_pg.errors import DatabaseDirectoryNotWritable, DatabaseOutOfReach
from pointsman.kit.embedded_pg.launching import Confinement, is_granted
from pointsman.kit.embedded_pg.layout import STATE_DIRECTORY, Layout, explained, find_layout, staged_layout, staging_note
from pointsman.kit.embedded_pg.locks import open_owned
from pointsman.kit.embedded_pg.wheel import PROGRAMS, TREES, site_root, wheel_version

# directories that no package and no person removes: a rmdir outside would take the mount inside away
_MOUNTPOINTS = ("/mnt", "/srv", "/media", "/home", "/root")
_SAMPLES = (f"{PROGRAMS}/postgres", f"{PROGRAMS}/initdb", f"{TREES[0]}/share/postgresql/postgres.bki", TREES[1])


@dataclass(frozen=True)
class Placement:
    """One embedded database as its server will see it."""

    layout: Layout
    account: Account
    confinement: Confinement
    programs: Path
    home: Path

    @property
    def socket_directory(self) -> Path:
        """The socket's directory under the name that the server knows."""
        return self.home if self.layout.socket_directory == self.layout.home else self.layout.socket_directory


def require_data_dir(data_dir: Path) -> Path:
    """Make the data directory if it is not there; the answer is absolute and free of links."""
    with explained(data_dir):
        if not data_dir.exists():
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            data_dir.mkdir(mode=_mode_of_a_new_directory(), exist_ok=True)
        if not data_dir.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(data_dir))
        return data_dir.resolve()


def place(data_dir: Path) -> Placement:
    """Decide how the server reaches its files, making (only) the directories that are missing; only while changing()."""
    layout = find_layout(data_dir)
    account = choose_account(layout.cluster)
    with explained(layout.data_dir):
        placement = _placed(layout, account)
        _own_home(placement)
    return placement


def mountpoint() -> str:
    """The directory that a private mount namespace may cover."""
    return next((path for path in _MOUNTPOINTS if Path(path).is_dir()), "/tmp")  # noqa: S108 - only inside the namespace


def list_orphans() -> list[Path]:
    """Staged clusters whose data directory is gone or has forgotten them."""
    clusters = STATE_DIRECTORY / "clusters"
    if not clusters.is_dir() or not os.access(clusters, os.R_OK):  # only root has staged clusters, and may see whose they are
        return []
    return [staged for staged in sorted(clusters.iterdir()) if not _is_claimed(staged)]


def _mode_of_a_new_directory() -> int:
    # root's own server account must come in where no mount can bring it there; nobody else can list what is inside
    if os.geteuid() == 0 and not is_granted(Confinement(0, 0, mountpoint=mountpoint())):
        return 0o711
    return 0o700


def _placed(layout: Layout, account: Account) -> Placement:
    site = site_root()
    if os.geteuid() != 0 or account.lent_uid is not None:
        return _direct(layout, account, site)
    programs_near = _is_open(site, account)
    home_near = _is_passable(layout.home.parent, account)
    if programs_near and home_near:
        return _direct(layout, account, site)
    view = Confinement(account.uid, account.gid, mountpoint=mountpoint())
    granted = is_granted(view)
    if not programs_near and not (granted and _has_open_files(site)):
        site, programs_near = _copied_programs(account), True
    if not home_near and not granted:
        layout, home_near = _staged(layout, account), True
    if programs_near and home_near:
        return _direct(layout, account, site)
    return _bound(layout, account, site, programs_near=programs_near, home_near=home_near)


def _direct(layout: Layout, account: Account, site: Path) -> Placement:
    confinement = Confinement(account.uid, account.gid, lent_uid=account.lent_uid)
    return Placement(layout, account, confinement, site / PROGRAMS, layout.home)


def _bound(layout: Layout, account: Account, site: Path, *, programs_near: bool, home_near: bool) -> Placement:
    point = Path(mountpoint())
    binds: list[tuple[str, str]] = []
    if not programs_near:
        binds += [(str(site / tree), f"site/{tree}") for tree in TREES]
    if not home_near:
        binds.append((str(layout.home), "pg"))
    return Placement(
        layout,
        account,
        Confinement(account.uid, account.gid, mountpoint=str(point), binds=tuple(binds)),
        (site if programs_near else point / "site") / PROGRAMS,
        layout.home if home_near else point / "pg",
    )


def _own_home(placement: Placement) -> None:
    home, account = placement.layout.home, placement.account
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink():
        raise DatabaseDirectoryNotWritable(
            f"{home} is a link, and root gives what is inside to the server's account.", hint="Use a data directory at the link's target."
        )
    if home.stat().st_uid != account.uid and os.geteuid() == 0:
        give_tree(home, account.uid, account.gid)  # new, or copied by root


def _copied_programs(account: Account) -> Path:
    """A copy of the programs that everybody may read, made once for each version of the wheel."""
    site = site_root()
    copy = _state_directory(account) / f"postgresql-{wheel_version(site)}"
    if copy.is_dir():
        return copy
    unfinished = copy.with_name(f".{copy.name}-{secrets.token_hex(4)}")
    with explained(STATE_DIRECTORY):
        for tree in TREES:
            shutil.copytree(site / tree, unfinished / tree, ignore=shutil.ignore_patterns("include"))
        for parent, directories, files in os.walk(unfinished):
            for path in (Path(parent, name) for name in (*directories, *files)):
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044))
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy


def _staged(layout: Layout, account: Account) -> Layout:
    if layout.home.is_relative_to(STATE_DIRECTORY / "clusters"):
        return layout
    if layout.exists:
        raise DatabaseOutOfReach(
            f"The server's account {account.uid} cannot reach {layout.home}, and mounts are refused.",
            hint=f"Let everybody pass through the directories above {layout.data_dir} (chmod o+x), or allow mounts (CAP_SYS_ADMIN).",
        )
    identifier = secrets.token_hex(8)
    staged = staged_layout(layout.data_dir, identifier)
    clusters = _state_directory(account) / "clusters"
    clusters.mkdir(mode=0o711, exist_ok=True)
    clusters.chmod(0o711)
    staged.home.parent.mkdir(mode=0o711)
    staged.home.parent.chmod(0o711)
    (staged.home.parent / "origin").write_text(str(layout.data_dir), encoding="utf-8")
    with os.fdopen(open_owned(layout.data_dir, staging_note(layout.data_dir).name), "w", encoding="ascii") as note:
        note.write(identifier)
    return staged


def _state_directory(account: Account) -> Path:
    with explained(STATE_DIRECTORY):
        if not STATE_DIRECTORY.is_dir():
            STATE_DIRECTORY.mkdir(parents=True)
            STATE_DIRECTORY.chmod(0o755)
    if not _is_passable(STATE_DIRECTORY, account):
        raise DatabaseOutOfReach(
            f"The server's account {account.uid} cannot pass through {STATE_DIRECTORY}.",
            hint=f"chmod o+x {STATE_DIRECTORY} and the directories above it, or run the gateway as a normal user.",
        )
    return STATE_DIRECTORY


def _is_claimed(staged: Path) -> bool:
    origin = staged / "origin"
    if not origin.is_file():
        return False
    note = staging_note(Path(origin.read_text(encoding="utf-8")))
    return note.is_file() and note.read_text(encoding="ascii").strip() == staged.name


def _is_open(site: Path, account: Account) -> bool:
    return _is_passable(site, account) and _has_open_files(site)


def _has_open_files(site: Path) -> bool:
    """Whether the installation may be read by everybody, which an installer with umask 077 prevents."""
    samples = [site / sample for sample in _SAMPLES]
    inner = {site / TREES[1]} | {
        parent for sample in samples for parent in sample.parents if parent.is_relative_to(site) and parent != site
    }
    return all(path.stat().st_mode & 0o004 for path in samples) and all(path.stat().st_mode & 0o001 for path in inner)


def _is_passable(directory: Path, account: Account) -> bool:
    return all(_lets_pass(step.stat(), account) for step in (directory, *directory.parents))


def _lets_pass(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == account.gid else 0o001))
