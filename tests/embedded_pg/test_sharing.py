"""Several processes on one data directory."""

from __future__ import annotations

from pathlib import Path

from tests.embedded_pg.embedded_pg_scene import Launch, is_alive, postmaster, postmasters


def test_the_first_to_leave_keeps_the_server_and_the_last_stops_it(data_dir: Path, launch: Launch) -> None:
    first, second = launch(data_dir), launch(data_dir)
    assert first.start() == second.start()
    pid = postmaster(data_dir)

    first.stop()
    assert second.sql("select 1") == "1"
    assert postmaster(data_dir) == pid
    second.stop()
    assert not is_alive(pid)


def test_two_processes_that_start_at_once_on_an_empty_directory_get_one_server(new_dir: Path, launch: Launch) -> None:
    gateways = [launch(new_dir) for _ in range(4)]
    for gateway in gateways:
        gateway.send("start", timeout=40)
    assert len({gateway.receive() for gateway in gateways}) == 1
    assert len(postmasters(new_dir)) == 1


def test_a_killed_process_neither_stops_the_server_for_the_others_nor_keeps_it_for_ever(data_dir: Path, launch: Launch) -> None:
    killed, other = launch(data_dir), launch(data_dir)
    killed.start()
    other.start()
    killed.kill()
    assert other.sql("select 1") == "1"
    other.stop()
    assert not postmasters(data_dir)


def test_the_next_start_joins_the_server_that_a_killed_process_left(data_dir: Path, launch: Launch) -> None:
    killed = launch(data_dir)
    killed.start()
    pid = postmaster(data_dir)
    killed.kill()
    assert is_alive(pid)

    following = launch(data_dir)
    following.start()
    assert postmaster(data_dir) == pid
    following.stop()
    assert not is_alive(pid)


def test_processes_may_call_the_directory_by_different_names(data_dir: Path, open_dir: Path, launch: Launch) -> None:
    alias = open_dir / "alias"
    alias.symlink_to(data_dir)
    first, second = launch(data_dir), launch(alias)
    assert first.start() == second.start()
    first.stop()
    assert second.sql("select 1") == "1"


def test_a_process_stopped_while_it_starts_the_server_leaves_nothing_that_hinders_the_next(new_dir: Path, launch: Launch) -> None:
    for _ in range(3):
        killed = launch(new_dir)
        killed.send("start", timeout=40)
        killed.process.kill()
        killed.process.wait()
    gateway = launch(new_dir)
    gateway.start()
    assert gateway.sql("select 1") == "1"
    assert not list((new_dir / "pg").glob("init-*"))
