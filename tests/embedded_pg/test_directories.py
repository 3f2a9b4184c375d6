"""Data directories that are long, strange, closed, damaged, or of another version."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from tests.embedded_pg.embedded_pg_scene import Launch, Refusal, as_user, needs_mounts, needs_root, postmasters, with_mounts

from pointsman.kit.embedded_pg import diagnose, find_dsn


def host_of(dsn: str) -> Path:
    return Path(parse_qs(urlsplit(dsn).query)["host"][0])


async def test_a_path_longer_than_a_socket_allows_gets_a_short_socket_directory(open_dir: Path, launch: Launch) -> None:
    data_dir = open_dir / ("long" * 20) / ("longer" * 10)
    gateway = launch(data_dir)
    dsn = gateway.start()
    short = host_of(dsn)

    await (await asyncpg.connect(dsn)).close()
    assert gateway.sql("select 1") == "1"
    assert len(str(short)) < 40
    assert short.stat().st_mode & 0o777 == 0o700
    assert find_dsn(data_dir) == dsn
    second = launch(data_dir)
    assert second.start() == dsn
    second.stop()
    gateway.stop()
    assert not short.exists()


async def test_a_short_socket_directory_of_somebody_else_is_refused(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir.rename(data_dir.with_name("long" * 30)))
    short = host_of(gateway.start())
    gateway.stop()
    short.mkdir(mode=0o777)
    short.chmod(0o777)
    try:
        with pytest.raises(Refusal, match="database-socket-unsafe") as refusal:
            gateway.start()
        assert str(short) in refusal.value.hint
    finally:
        short.rmdir()
    gateway.start()
    assert gateway.sql("select 1") == "1"


async def test_a_strange_path_works(open_dir: Path, launch: Launch) -> None:
    gateway = launch(open_dir / "space, comma and'quote\"100%+5=ü@x:y?z#w&v back\\slash")
    dsn = gateway.start()
    await (await asyncpg.connect(dsn)).close()
    assert gateway.sql("select 1") == "1"


def test_a_file_where_the_directory_should_be_is_named(open_dir: Path, launch: Launch) -> None:
    (open_dir / "file").write_text("")
    with pytest.raises(Refusal, match="database-directory-not-writable"):
        launch(open_dir / "file").start()
    with pytest.raises(Refusal, match="database-directory-not-writable"):
        launch(open_dir / "file" / "below").start()


@needs_mounts
def test_a_read_only_file_system_is_named_for_new_and_existing_clusters(data_dir: Path, launch: Launch) -> None:
    made = launch(data_dir)
    made.start()
    made.stop()
    read_only = with_mounts(f"mount --bind {data_dir.parent} {data_dir.parent}; mount -o remount,ro,bind {data_dir.parent}")

    for directory in (data_dir, data_dir.parent / "new"):
        gateway = launch(directory, prefix=read_only)
        with pytest.raises(Refusal, match="database-directory-not-writable") as refusal:
            gateway.start()
        assert "Read-only file system" in refusal.value.detail
        assert "fail" in [level for level, _, _ in gateway.ask("diagnose")]
    made.start()


@needs_root
def test_a_directory_of_somebody_else_is_named_for_a_normal_user(new_dir: Path, launch: Launch, user_python: str) -> None:
    new_dir.mkdir(mode=0o755)
    gateway = launch(new_dir, prefix=as_user(), python=user_python)
    with pytest.raises(Refusal, match="database-directory-not-writable") as refusal:
        gateway.start()
    assert "chown" in refusal.value.hint
    assert "fail" in [level for level, _, _ in gateway.ask("diagnose")]


@needs_root
def test_a_cluster_that_root_made_is_refused_to_a_normal_user_with_the_remedy(data_dir: Path, launch: Launch, user_python: str) -> None:
    gateway = launch(data_dir, prefix=as_user(), python=user_python)
    with pytest.raises(Refusal, match="database-directory-not-writable"):
        gateway.start()
    with pytest.raises(Refusal, match="database-directory-not-writable"):
        gateway.ask("find_dsn")


def test_a_cluster_of_another_major_version_is_left_alone_and_named(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    (data_dir / "pg" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(Refusal, match="made by PostgreSQL 17, and this release runs 18") as refusal:
        gateway.start()
    assert refusal.value.code == "database-other-version"
    assert "backup" in refusal.value.hint
    assert any(finding.level.value == "fail" and "PostgreSQL 17" in finding.sentence for finding in diagnose(data_dir))


def test_a_damaged_cluster_is_neither_used_nor_made_anew(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    (data_dir / "pg" / "data" / "PG_VERSION").unlink()
    with pytest.raises(Refusal, match="database-directory-damaged"):
        gateway.start()
    assert (data_dir / "pg" / "data" / "global").is_dir()


def test_a_missing_file_of_the_cluster_is_told_in_the_servers_words(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    shutil.rmtree(data_dir / "pg" / "data" / "pg_wal")
    with pytest.raises(Refusal, match="pg_wal") as refusal:
        gateway.start()
    assert refusal.value.code == "database-start-failed"


def test_an_attempt_that_was_interrupted_is_not_mistaken_for_a_cluster(new_dir: Path, launch: Launch) -> None:
    half = new_dir / "pg" / "init-0123abcd" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (new_dir / "pg.password").write_text("")
    assert find_dsn(new_dir) is None
    assert any("interrupted" in finding.sentence for finding in diagnose(new_dir))
    gateway = launch(new_dir)
    gateway.start()
    assert gateway.sql("select 1") == "1"
    assert not half.exists()


def test_a_lost_password_is_named(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    kept = (data_dir / "pg.password").read_text()
    (data_dir / "pg.password").unlink()
    with pytest.raises(Refusal, match="missing or empty"):
        gateway.start()
    for content in ("", "wrong\n"):
        (data_dir / "pg.password").write_text(content)
        with pytest.raises(Refusal, match="database-password-lost"):
            gateway.start()
    (data_dir / "pg.password").write_text(kept)
    gateway.start()
    assert gateway.sql("select 1") == "1"


@needs_root
def test_a_link_in_the_place_of_the_clusters_home_gives_nothing_away(new_dir: Path, open_dir: Path, launch: Launch) -> None:
    new_dir.mkdir()
    victim = open_dir / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    (new_dir / "pg").symlink_to(victim)
    with pytest.raises(Refusal, match="is a link"):
        launch(new_dir).start()
    assert victim.stat().st_uid == (victim / "file").stat().st_uid == 0

    (new_dir / "pg").unlink()
    (new_dir / "pg.staged").write_text("../../../../" + str(victim))
    with pytest.raises(Refusal, match="database-directory-damaged"):
        launch(new_dir).start()


@needs_root
def test_a_link_in_the_place_of_our_files_is_not_followed(new_dir: Path, open_dir: Path, launch: Launch) -> None:
    new_dir.mkdir()
    victim = open_dir / "victim"
    victim.write_text("untouched")
    (new_dir / "pg.password").symlink_to(victim)
    with pytest.raises(Refusal, match="database-directory-not-writable"):
        launch(new_dir).start()
    assert victim.read_text() == "untouched"
    assert not postmasters(new_dir)
