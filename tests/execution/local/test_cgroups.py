"""Where cgroups are found, and what is written into them: on folders laid out as the kernel does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pointsman.execution.runners.local.cgroups import Cgroups, Group, Limits, find_cgroups

LIMITS = Limits(memory_mb=512, pids=100, cpus=1.5)


def host(tmp_path: Path, mounts: list[str], own: list[str]) -> tuple[Path, Path]:
    lines = [f"{30 + number} 29 0:{40 + number} {mount}" for number, mount in enumerate(mounts)]
    (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
    (tmp_path / "own").write_text("\n".join(own) + "\n")
    return tmp_path / "mountinfo", tmp_path / "own"


def v2(tmp_path: Path, own: str, controllers: str, *, subtree: str = "", root: str = "/") -> tuple[Path, Path]:
    folder = tmp_path / "cgroup" / own.removeprefix(root).lstrip("/")
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(subtree)
    (folder / "cgroup.procs").write_text("11\n12\n")
    return host(tmp_path, [f"{root} {tmp_path}/cgroup rw - cgroup2 cgroup2 rw"], [f"0::{own}"])


def test_version_two_moves_what_runs_into_a_leaf_before_it_switches_controllers_on(tmp_path: Path) -> None:
    found = find_cgroups(*v2(tmp_path, "/system.slice/pointsman.service", "cpuset cpu io memory pids"))
    own = tmp_path / "cgroup/system.slice/pointsman.service"
    assert found == Cgroups(2, (own,))
    assert (own / "pointsman-worker" / "cgroup.procs").read_text() == "12"  # the last of the two
    assert set((own / "cgroup.subtree_control").read_text().split()) == {"+cpu", "+memory", "+pids"}


def test_a_worker_that_was_moved_into_the_leaf_makes_cgroups_beside_it(tmp_path: Path) -> None:
    base = tmp_path / "cgroup/a.service"
    (base / "pointsman-worker").mkdir(parents=True)
    (base / "cgroup.controllers").write_text("memory pids")
    (base / "cgroup.subtree_control").write_text("memory pids")
    told = host(tmp_path, [f"/ {tmp_path}/cgroup rw - cgroup2 cgroup2 rw"], ["0::/a.service/pointsman-worker"])
    assert find_cgroups(*told) == Cgroups(2, (base,))


def test_version_two_without_the_controllers_is_none(tmp_path: Path) -> None:
    assert find_cgroups(*v2(tmp_path, "/x", "hugetlb")) is None


def test_a_mount_of_a_part_of_the_hierarchy_is_understood(tmp_path: Path) -> None:
    found = find_cgroups(*v2(tmp_path, "/docker/abc/x", "memory pids", subtree="memory pids", root="/docker/abc"))
    assert found == Cgroups(2, (tmp_path / "cgroup/x",))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_cgroups_that_are_others_are_none(tmp_path: Path) -> None:
    told = v2(tmp_path, "/x", "memory pids")
    (tmp_path / "cgroup/x").chmod(0o555)
    assert find_cgroups(*told) is None


def v1(tmp_path: Path, *names: str) -> tuple[Path, Path]:
    mounts, own = [], []
    for name in names:
        (tmp_path / name / "job").mkdir(parents=True)
        mounts.append(f"/ {tmp_path}/{name} rw,relatime - cgroup cgroup rw,{name}")
        own.append(f"{len(own) + 2}:{name}:/job")
    return host(tmp_path, mounts, [*own, "0::/"])


def test_version_one_has_a_folder_for_each_controller(tmp_path: Path) -> None:
    found = find_cgroups(*v1(tmp_path, "memory", "pids", "cpu"))
    assert found is not None
    assert found.version == 1
    assert set(found.parents) == {tmp_path / name / "job" for name in ("memory", "pids", "cpu")}


def test_version_one_without_pids_is_none(tmp_path: Path) -> None:
    assert find_cgroups(*v1(tmp_path, "memory", "cpu")) is None


def test_limits_are_written_in_the_words_of_version_two(tmp_path: Path) -> None:
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "memory.peak", "memory.events")
    folder = tmp_path / "pm-a-1"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    group = Cgroups(2, (tmp_path,)).create("pm-a-1", LIMITS)
    assert {name: (folder / name).read_text() for name in names[:5]} == {
        "memory.max": str(512 * 2**20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "100",
        "cpu.max": "150000 100000",
    }
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 14\noom 2\noom_kill 3\noom_group_kill 1\n")
    (folder / "memory.peak").write_text(str(100 * 2**20 + 1))
    assert group.bounds_memory
    assert group.bounds_pids
    assert group.count_oom_kills() == 3
    assert group.peak_memory_mb() == 101
    assert group.proof().source == "cgroup.oom_kill"
    assert "oom_kill 3" in group.proof().detail


def test_the_kills_of_version_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "memory.limit_in_bytes").write_text("1048576\n")
    assert Group((tmp_path,)).count_oom_kills() == 2
    assert "1048576" in Group((tmp_path,)).proof().detail


def test_ending_what_is_not_there_is_harmless(tmp_path: Path) -> None:
    Group((tmp_path / "a", tmp_path / "b")).end()
