"""`pointsman up` as a process: what it leaves, how it comes back, how it ends, and what a backup of it is worth."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path

from cli_scene import CommandLine, eventually, postmasters, running, status_of


def test_it_starts_stops_comes_back_and_is_carried_over_by_a_backup(cli: CommandLine, tmp_path: Path) -> None:
    data, passphrase = tmp_path / "data", tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    here = cli.with_environment(POINTSMAN_DATA_DIR=str(data))

    with running(here, "up", "--port", "0") as gateway:
        url = gateway.url()
        assert status_of(f"{url}/readyz") == 200
        key_file = data / "admin-key"
        key = key_file.read_text().strip()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert key not in gateway.said  # no terminal there
        assert "curl" in gateway.said
        talking = here.with_environment(POINTSMAN_URL=url)
        talking.run("agents", "create", "echo", "--model", "scripted:echo", "--template", "Repeat.")
        talking.run("chat", "echo", "Remember this.", "--session", "kept")
        password = (data / "pg.password").read_text().strip()
        assert gateway.stop() == 0
        assert password not in gateway.said
    assert postmasters(data) == []

    dump = tmp_path / "backup.dump"
    here.run("db", "backup", str(dump), "--passphrase-file", str(passphrase))
    here.run("db", "backup", str(dump), "--passphrase-file", str(passphrase), expect=2)
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    sealed = dump.with_name("backup.dump.keyring")
    ring = (data / "keyring").read_bytes().strip()
    for file in (dump, sealed):
        assert ring not in file.read_bytes()
        assert key.encode() not in file.read_bytes()
    assert postmasters(data) == []

    there = cli.with_environment(POINTSMAN_DATA_DIR=str(tmp_path / "there"))
    (tmp_path / "wrong").write_text("something else\n")
    there.run("db", "restore", str(dump), "--passphrase-file", str(tmp_path / "wrong"), expect=2)
    assert not (tmp_path / "there").exists()
    there.run("db", "restore", str(dump), "--passphrase-file", str(passphrase))
    refused = there.run("db", "restore", str(dump), "--passphrase-file", str(passphrase), expect=5)
    assert "--force pointsman" in refused.stderr
    cut = tmp_path / "cut.dump"
    cut.write_bytes(dump.read_bytes()[:-5000])
    there.run("db", "restore", str(cut), "--keyring", str(sealed), "--passphrase-file", str(passphrase), "--force", "pointsman", expect=7)
    there.run("db", "restore", str(dump), "--passphrase-file", str(passphrase), "--force", "pointsman")

    with running(there, "up", "--port", "0") as gateway:
        talking = there.with_environment(POINTSMAN_URL=gateway.url(), POINTSMAN_API_KEY=key)
        messages = json.loads(talking.run("sessions", "show", "kept", "--json").stdout)
        assert [message["text"] for message in messages] == ["Remember this.", "Remember this."]
        assert "keys bootstrap --rotate" in gateway.said
        there.run("keys", "bootstrap", "--rotate")
        fresh = there.with_environment(POINTSMAN_URL=gateway.url())
        fresh.run("keys", "whoami")
        assert eventually(lambda: talking.run("keys", "whoami", expect=None).returncode == 3)
        in_use = there.run("db", "restore", str(dump), "--passphrase-file", str(passphrase), "--force", "pointsman", expect=5)
        assert "Stop every gateway" in in_use.stderr
        there.run("doctor", "--port", gateway.url().rpartition(":")[2])


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
