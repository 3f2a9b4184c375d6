"""`pointsman up` as a process: what it leaves, how it comes back, how it ends, and what a backup of it is worth."""

from __future__ import annotations

import os
import signal
import socket
import stat
import tarfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.cli_scene import CommandLine, eventually, postmasters, running, status_of

from pointsman.client import PointsmanClient


class Saved(NamedTuple):
    """A gateway that had a conversation and a file of knowledge, was stopped, and of which there is a backup."""

    home: Path
    here: CommandLine
    key: str
    dump: Path

    @property
    def sealed(self) -> Path:
        return self.dump.with_name(f"{self.dump.name}.keyring")

    @property
    def objects(self) -> Path:
        return self.dump.with_name(f"{self.dump.name}.objects")

    def restore(self, into: CommandLine, file: Path, *more: str, expect: int = 0) -> str:
        return into.run("db", "restore", str(file), "--passphrase-file", str(self.home / "passphrase"), *more, expect=expect).stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    home = tmp_path_factory.mktemp("saved")
    (home / "passphrase").write_text("correct horse battery\n")
    here = CommandLine(home, POINTSMAN_DATA_DIR=str(home / "data"))
    with running(here, "up", "--port", "0") as gateway:
        url = gateway.url()
        key = (home / "data" / "admin-key").read_text().strip()
        with PointsmanClient(url, key) as client:
            client.agents.create({"id": "echo", "name": "Echo", "template": "Repeat.", "config": {"model": "scripted:echo"}})
            client.chat("echo", {"message": "Remember this.", "session_id": "kept"})
            client.knowledge.upload("passed.txt", BytesIO(b"Nobody needs this."))
            gone = client.knowledge.upload("gone.txt", BytesIO(b"Nobody has this."))
            client.knowledge.delete(gone["file_id"])
            for file in client.knowledge.list():
                assert [*client.knowledge.wait(file["file_id"])][-1]["progress"]["step"] == "indexed"
    here.run("db", "backup", str(home / "backup.dump"), "--passphrase-file", str(home / "passphrase"))
    return Saved(home, here, key, home / "backup.dump")


def test_it_tells_no_secret_ends_with_everything_it_started_and_comes_back(saved: Saved) -> None:
    data = saved.home / "data"
    assert postmasters(data) == []
    assert stat.S_IMODE((data / "admin-key").stat().st_mode) == 0o600
    with running(saved.here, "up", "--port", "0") as gateway:
        url = gateway.url()
        assert status_of(f"{url}/readyz") == 200
        with PointsmanClient(url, saved.key) as client:
            assert [message["text"] for message in client.sessions.messages("kept")] == ["Remember this."] * 2
        assert gateway.stop() == 0
        assert "curl" in gateway.said
        assert saved.key not in gateway.said
        assert (data / "pg.password").read_text().strip() not in gateway.said
    assert postmasters(data) == []


def test_a_backup_holds_neither_the_admin_key_nor_the_ring_in_plain(saved: Saved) -> None:
    ring = (saved.home / "data" / "keyring").read_bytes().strip()
    for file in (saved.dump, saved.sealed, saved.objects):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert ring not in file.read_bytes()
        assert saved.key.encode() not in file.read_bytes()
    again = saved.here.run("db", "backup", str(saved.dump), "--passphrase-file", str(saved.home / "passphrase"), expect=2)
    assert "exists already" in again.stderr
    assert "passphrase" in saved.here.run("db", "backup", str(saved.home / "other"), expect=2).stderr


def test_a_backup_holds_the_files_of_knowledge_that_are_there_or_says_where_they_lie(saved: Saved, tmp_path: Path) -> None:
    with tarfile.open(saved.objects) as tar:
        assert [tar.extractfile(member).read() for member in tar] == [b"Nobody needs this."]  # pyright: ignore[reportOptionalMemberAccess]
    said = saved.here.run("db", "backup", str(tmp_path / "lean.dump"), "--no-keyring", "--no-objects").stderr
    assert f"NOT in the backup: 1 file of knowledge in {(saved.home / 'data' / 'objects').as_uri()}" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lean.dump"]


def test_a_backup_is_carried_on_with_in_a_new_data_directory(saved: Saved, cli: CommandLine, tmp_path: Path) -> None:
    there = cli.with_environment(POINTSMAN_DATA_DIR=str(tmp_path / "there"))
    assert "1 file of knowledge: in " in saved.restore(there, saved.dump)
    with running(there, "up", "--port", "0") as gateway, PointsmanClient(gateway.url(), saved.key) as client:
        assert_knowledge_is_there(client, tmp_path / "there" / "objects")
        assert [message["text"] for message in client.sessions.messages("kept")] == ["Remember this."] * 2
        assert client.chat("echo", {"message": "More.", "session_id": "kept"})["content"] == "More."
        assert "keys bootstrap --rotate" in gateway.said
        there.run("keys", "bootstrap", "--rotate")
        with PointsmanClient(gateway.url(), (tmp_path / "there" / "admin-key").read_text().strip()) as fresh:
            assert fresh.keys.who_am_i()["scopes"] == ["admin"]
        assert "Stop every gateway" in saved.restore(there, saved.dump, "--force", "pointsman", expect=5)
        there.run("doctor", "--port", gateway.url().rpartition(":")[2])


def assert_knowledge_is_there(client: PointsmanClient, objects: Path) -> None:
    (file,) = client.knowledge.list()
    assert (file["gcs_path"] or "").startswith(objects.as_uri())
    client.knowledge.reindex(file["file_id"])
    assert [*client.knowledge.wait(file["file_id"])][-1]["knowledge_status"] == "indexed"
    assert [passage["content"] for passage in client.knowledge.search({"query": "needs"})] == ["Nobody needs this."]
    client.knowledge.delete(file["file_id"])
    assert [*objects.iterdir()] == []


def test_a_restore_deletes_only_what_was_named_and_changes_nothing_when_it_fails(saved: Saved, cli: CommandLine, tmp_path: Path) -> None:
    there = cli.with_environment(POINTSMAN_DATA_DIR=str(tmp_path / "there"))
    (tmp_path / "wrong").write_text("something else\n")
    there.run("db", "restore", str(saved.dump), "--passphrase-file", str(tmp_path / "wrong"), expect=2)
    assert "cannot be read" in saved.restore(there, saved.dump, "--objects", str(saved.sealed), expect=2)
    assert not (tmp_path / "there").exists()
    saved.restore(there, saved.dump)
    assert "--force pointsman" in saved.restore(there, saved.dump, expect=5)
    saved.restore(there, saved.dump, "--force", "postgres", expect=2)
    cut = tmp_path / "cut.dump"
    cut.write_bytes(saved.dump.read_bytes()[:-5000])
    saved.restore(there, cut, "--keyring", str(saved.sealed), "--force", "pointsman", expect=7)
    assert there.run("db", "shell", "--", "-Atc", "SELECT count(*) FROM messages").stdout == "2\n"
    lean = tmp_path / "lean.dump"
    lean.write_bytes(saved.dump.read_bytes())
    said = saved.restore(there, lean, "--keyring", str(saved.sealed), "--force", "pointsman")
    assert "NOT in the backup: 1 file that the database refers to" in said
    assert there.run("db", "shell", "--", "-Atc", "SELECT count(*) FROM messages").stdout == "2\n"


def test_its_database_is_brought_up_again_and_two_share_it(cli: CommandLine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    here = cli.with_environment(POINTSMAN_DATA_DIR=str(data))
    with running(here, "up", "--port", "0") as first:
        one = first.url()
        with running(here, "up", "--port", "0") as second:
            two = second.url()
            assert first.stop(signal.SIGINT) == 0
            assert status_of(f"{two}/readyz") == 200
            (postmaster, *_) = postmasters(data)
            os.kill(postmaster, signal.SIGKILL)
            assert eventually(lambda: status_of(f"{two}/readyz") == 200 and postmasters(data) not in ([], [postmaster]), 20)
        assert one != two
    assert postmasters(data) == []
    assert here.run("db", "shell", "--", "-Atc", "SELECT count(*) FROM api_keys").stdout == "1\n"
    assert here.run("db", "url").stdout.startswith("postgresql://")
    assert postmasters(data) == []


def test_a_port_that_is_taken_and_a_ring_that_is_not_the_databases_are_said_and_nothing_stays_running(
    cli: CommandLine, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = cli.run("up", "--data-dir", str(data), "--port", port, expect=5)
        assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
        assert "Something else listens" in cli.run("doctor", "--data-dir", str(data), "--port", port, expect=1).stdout
    assert postmasters(data) == []
    ring = data / "keyring"
    ring.write_text("v1Dh8oxPGJ0mSJV6ZyHbhZJmVOQdYCwL7EVcGDhSSJg=\n")
    done = cli.run("up", "--data-dir", str(data), "--port", "0", expect=1)
    assert "did not encrypt the secrets of this database" in done.stderr
    assert postmasters(data) == []


def test_a_signal_in_the_middle_of_the_start_stops_the_database_too(cli: CommandLine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    gateway = cli.start("up", "--data-dir", str(data), "--port", "0")
    assert eventually(lambda: (data / "pg.log").exists() or bool(postmasters(data)), 20)
    gateway.stop()
    assert postmasters(data) == []


def test_serve_waits_for_nobody_to_migrate(cli: CommandLine, empty_dsn: str, tmp_path: Path) -> None:
    server = cli.with_environment(POINTSMAN_DATABASE__URL=empty_dsn, POINTSMAN_DATA_DIR=str(tmp_path / "data"))
    refused = server.run("serve", "--port", "0", expect=7)
    assert "pointsman migrate" in refused.stderr
    assert "migrated the database" in server.run("migrate").stderr
    assert "nothing to do" in server.run("migrate").stderr
    server.run("keys", "bootstrap", "--out", str(tmp_path / "key"))
    with running(server, "serve", "--port", "0") as gateway:
        key = (tmp_path / "key").read_text().strip()
        server.with_environment(POINTSMAN_URL=gateway.url(), POINTSMAN_API_KEY=key).run("keys", "whoami")
        assert gateway.stop() == 0
