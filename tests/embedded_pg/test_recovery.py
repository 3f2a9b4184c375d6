"""Servers that were killed, and pid files that lie."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.embedded_pg.embedded_pg_scene import Gateway, Launch, eventually, is_alive, postmaster, postmasters


@pytest.fixture
def stranger() -> Generator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def pid_file(data_dir: Path) -> Path:
    return data_dir / "pg" / "data" / "postmaster.pid"


def name_in_pid_file(data_dir: Path, pid: int) -> None:
    """Replace the number, as when the machine restarted and somebody else got it."""
    lines = pid_file(data_dir).read_text().splitlines(keepends=True)
    pid_file(data_dir).write_text("".join([f"{pid}\n", *lines[1:]]))


def kill_server(data_dir: Path) -> int:
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid))
    return pid


def works(gateway: Gateway) -> bool:
    return gateway.ask("sql", text="select count(*) from note")["out"] == "1"


def started_with_a_note(data_dir: Path, launch: Launch) -> Gateway:
    gateway = launch(data_dir)
    gateway.start()
    gateway.sql("create table note as select 'kept' as text")
    return gateway


def test_a_killed_server_is_started_again_with_all_that_was_acknowledged(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    killed = kill_server(data_dir)
    gateway.start()
    assert works(gateway)
    assert postmaster(data_dir) != killed


def test_a_busy_child_of_a_killed_server_does_not_hold_up_the_next(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    busy = launch(data_dir)
    busy.start()
    busy.send("sql", text="select count(*) from generate_series(1, 100000000000)")
    # The question has the pattern in it, so whoever asks is no answer.
    at_work = "select min(pid) from pg_stat_activity where query like '%series%' and state = 'active' and pid <> pg_backend_pid()"
    eventually(lambda: gateway.sql(at_work))
    child = int(gateway.sql(at_work))

    kill_server(data_dir)
    assert is_alive(child)
    gateway.start()
    assert works(gateway)
    assert not is_alive(child)
    busy.receive()


def test_the_watch_brings_a_killed_server_back(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    gateway.ask("watch")
    for _ in range(3):
        killed = kill_server(data_dir)
        began = time.monotonic()
        eventually(lambda: works(gateway))
        print(f"back after {time.monotonic() - began:.2f} s")
        assert postmaster(data_dir) != killed
    assert "the embedded PostgreSQL is back" in gateway.ask("told")
    gateway.stop()
    assert not postmasters(data_dir)


def test_two_watches_bring_back_one_server(data_dir: Path, launch: Launch) -> None:
    first, second = started_with_a_note(data_dir, launch), launch(data_dir)
    second.start()
    for gateway in (first, second):
        gateway.ask("watch")
    kill_server(data_dir)
    eventually(lambda: works(first) and works(second))
    assert len(postmasters(data_dir)) == 1
    first.stop()
    assert works(second)


def test_an_orderly_shutdown_by_somebody_else_is_undone_by_the_watch(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    gateway.ask("watch")
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGINT)
    eventually(lambda: not is_alive(pid))
    eventually(lambda: works(gateway))


def test_no_server_comes_back_after_stop(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    gateway.ask("watch")
    gateway.stop()
    time.sleep(0.5)
    assert not postmasters(data_dir)


def test_a_stale_pid_file_that_names_a_live_stranger_is_no_obstacle(data_dir: Path, launch: Launch, stranger: int) -> None:
    gateway = started_with_a_note(data_dir, launch)
    kill_server(data_dir)
    name_in_pid_file(data_dir, stranger)
    gateway.start()
    assert works(gateway)
    gateway.stop()
    assert is_alive(stranger)


def test_a_pid_file_that_names_another_server_is_no_obstacle(data_dir: Path, open_dir: Path, launch: Launch) -> None:
    other = launch(open_dir / "other")
    other.start()
    gateway = started_with_a_note(data_dir, launch)
    kill_server(data_dir)
    name_in_pid_file(data_dir, postmaster(open_dir / "other"))
    gateway.start()
    assert works(gateway)
    gateway.stop()
    assert other.sql("select 1") == "1"


def test_a_pid_file_of_rubbish_is_no_obstacle(data_dir: Path, launch: Launch) -> None:
    gateway = launch(data_dir)
    for content in ("", "rubbish\n", "4194303\n", "-1\n"):
        pid_file(data_dir).write_text(content)
        gateway.start()
        assert gateway.sql("select 1") == "1"
        gateway.stop()


def test_a_running_servers_pid_file_replaced_by_a_stranger_harms_neither(data_dir: Path, launch: Launch, stranger: int) -> None:
    gateway = started_with_a_note(data_dir, launch)
    server = postmaster(data_dir)
    name_in_pid_file(data_dir, stranger)

    joining = launch(data_dir)
    joining.start()
    assert works(joining)
    assert postmaster(data_dir) == server
    joining.stop()
    gateway.stop()
    assert not is_alive(server)
    assert is_alive(stranger)


def test_a_removed_socket_is_restored_for_the_only_user(data_dir: Path, launch: Launch) -> None:
    gateway = started_with_a_note(data_dir, launch)
    (data_dir / "pg" / ".s.PGSQL.5432").unlink()
    gateway.start()
    assert works(gateway)


def test_a_removed_socket_is_told_while_others_use_the_server(data_dir: Path, launch: Launch) -> None:
    gateway, second = started_with_a_note(data_dir, launch), launch(data_dir)
    (data_dir / "pg" / ".s.PGSQL.5432").unlink()
    with pytest.raises(Exception, match="database-socket-missing"):
        second.start()
    assert postmasters(data_dir)
    gateway.start()
    assert works(gateway)


def test_two_watches_at_a_removed_socket_leave_the_server_alone(data_dir: Path, launch: Launch) -> None:
    first, second = started_with_a_note(data_dir, launch), launch(data_dir)
    second.start()
    server = postmaster(data_dir)
    first.ask("watch")
    (data_dir / "pg" / ".s.PGSQL.5432").unlink()
    eventually(lambda: any("its socket" in text or "is not there" in text for text in first.ask("told")))
    assert postmaster(data_dir) == server
