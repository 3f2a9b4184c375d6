"""What is asked of Docker for a sandbox, control by control, and what its counters are read as. No daemon is needed."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.execution.connections import DockerConnection
from pointsman.execution.ports import Mount, SandboxSpec
from pointsman.execution.runners.counters import Counters
from pointsman.execution.runners.docker.container import container_config

SPEC = SandboxSpec("pm-0b9c7d6e-1111-4222-8333-444455556666-3", memory_mb=300, cpus=1.5, pids=77, disk_mb=200, env={"LANG": "C"})


def config(spec: SandboxSpec = SPEC, **connection: Any) -> dict[str, Any]:
    return container_config(spec, DockerConnection.model_validate({"image": "debian:13"} | connection))


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("CapDrop", ["ALL"]),
        ("SecurityOpt", ["no-new-privileges"]),
        ("ReadonlyRootfs", True),
        ("Privileged", False),
        ("NetworkMode", "none"),
        ("IpcMode", "private"),
        ("CgroupnsMode", "private"),
        ("Init", True),
        ("Memory", 300 * 2**20),
        ("MemorySwap", 300 * 2**20),
        ("NanoCpus", 1_500_000_000),
        ("PidsLimit", 77),
        ("RestartPolicy", {"Name": "no"}),
        ("LogConfig", {"Type": "none"}),
    ],
)
def test_a_container_is_hardened(control: str, value: Any) -> None:
    assert config()["HostConfig"][control] == value


def test_a_container_is_found_by_its_labels_and_knows_nothing_but_its_own_environment() -> None:
    made = config()
    assert made["Labels"] == {
        "pointsman.handle": SPEC.handle,
        "pointsman.job": "0b9c7d6e-1111-4222-8333-444455556666",
        "pointsman.epoch": "3",
    }
    assert made["Env"] == ["HOME=/workspace", "LANG=C"]


def test_the_only_folders_that_can_be_written_are_bounded_and_its_own() -> None:
    mounts = config()["HostConfig"]["Mounts"]
    assert [(mount["Type"], mount["Target"], "Source" in mount) for mount in mounts] == [
        ("volume", "/workspace", False),
        ("volume", "/tmp", False),
    ]
    options = [mount["VolumeOptions"]["DriverConfig"]["Options"]["o"] for mount in mounts]
    assert options == ["size=200m,uid=64123,gid=64123,mode=0700,nosuid,nodev"] * 2


def test_network_and_mounts_are_there_when_the_target_grants_them() -> None:
    spec = SandboxSpec(
        "pm-a-1", memory_mb=64, cpus=1, network=True, mounts=(Mount("/srv/cache", "/cache"), Mount("/srv/out", "/out", writable=True))
    )
    made = config(spec, network_name="jobs")
    assert (made["HostConfig"]["NetworkMode"], made["NetworkDisabled"]) == ("jobs", False)
    binds = [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in made["HostConfig"]["Mounts"][2:]]
    assert binds == [("/srv/cache", "/cache", True), ("/srv/out", "/out", False)]


def test_commands_run_as_another_account_than_what_keeps_the_container() -> None:
    assert config()["User"] not in {"64123:64123", "0:0"}
    assert config(user="64124:64124")["User"] not in {"64124:64124", "0:0"}


def test_a_runtime_is_asked_for_only_where_one_is_named() -> None:
    assert "Runtime" not in config()["HostConfig"]
    assert config(runtime="runsc")["HostConfig"]["Runtime"] == "runsc"


@pytest.mark.parametrize(
    ("told", "counters"),
    [
        (
            "memory/memory.oom_control oom_kill_disable 0\nmemory/memory.oom_control oom_kill 2\nmemory/memory.max_usage_in_bytes 4096\n",
            (2, 4096),
        ),
        ("memory.events oom 7\nmemory.events oom_kill 1\nmemory.events oom_group_kill 0\nmemory.peak 8192\n", (1, 8192)),
        ("memory.events oom_kill 0\n", (0, None)),
        ("", (None, None)),
        ("sh: 1: cannot read\n", (None, None)),
    ],
    ids=["version 1", "version 2", "no peak", "nothing", "noise"],
)
def test_counters_are_read_from_either_hierarchy(told: str, counters: tuple[int | None, int | None]) -> None:
    read = Counters.read(told)
    assert (read.oom_kills, read.peak) == counters
