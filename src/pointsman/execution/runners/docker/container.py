"""What a sandbox is to Docker: a container that may do nothing but compute in its workspace."""

from __future__ import annotations

from typing import Any

from pointsman.execution.connections import DockerConnection
from pointsman.execution.ports import Mount, SandboxSpec

WORKSPACE = "/workspace"
TEMPORARY = "/tmp"  # noqa: S108 - the sandbox's own
HANDLE = "pointsman.handle"
PROBE = "pointsman.probe"
MB = 2**20

# The container stays while commands come and go. It is kept by an account that no command runs as, so that
# "kill everything that I may kill" ends all of a command and leaves the container.
_KEEP = ["/bin/sh", "-c", "while :; do sleep 86400; done"]
_KEEP_A_PROBE = ["/bin/sh", "-c", "sleep 60"]
_KEEPERS = ("64124:64124", "64125:64125")


def container_config(spec: SandboxSpec, connection: DockerConnection, *, probe: bool = False) -> dict[str, Any]:
    """The body of `POST /containers/create`. A probe's container removes itself, whatever becomes of who started it."""
    return {
        "Image": connection.image,
        "Entrypoint": [],
        "Cmd": _KEEP_A_PROBE if probe else _KEEP,
        "User": _KEEPERS[0] if connection.user != _KEEPERS[0] else _KEEPERS[1],
        "WorkingDir": WORKSPACE,
        "Hostname": "sandbox",
        "Env": [f"{name}={value}" for name, value in {"HOME": WORKSPACE, **spec.env}.items()],
        "Labels": {PROBE: spec.handle} if probe else _labels(spec.handle),
        "NetworkDisabled": not spec.network,
        "HostConfig": _limits(spec) | _walls(spec, connection) | {"AutoRemove": probe},
    }


def _labels(handle: str) -> dict[str, str]:
    job, _, epoch = handle.removeprefix("pm-").rpartition("-")
    return {HANDLE: handle, "pointsman.job": job, "pointsman.epoch": epoch}


def _limits(spec: SandboxSpec) -> dict[str, Any]:
    memory = spec.memory_mb * MB
    return {
        "Memory": memory,
        "MemorySwap": memory,  # memory and swap together: no swap
        "NanoCpus": int(spec.cpus * 1e9),
        "PidsLimit": spec.pids,
        "ShmSize": min(64, spec.disk_mb) * MB,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none"},  # what commands say is streamed; nothing is kept on the host's disk
    }


def _walls(spec: SandboxSpec, connection: DockerConnection) -> dict[str, Any]:
    return {
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Privileged": False,
        "NetworkMode": connection.network_name if spec.network else "none",
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "RestartPolicy": {"Name": "no"},
        "Mounts": [*(_folder(path, spec, connection.user) for path in (WORKSPACE, TEMPORARY)), *(_bind(mount) for mount in spec.mounts)],
        **({"Runtime": connection.runtime} if connection.runtime else {}),
    }


def _folder(path: str, spec: SandboxSpec, user: str) -> dict[str, Any]:
    """A volume without a name, which goes with its container; in memory, because that is what Docker can bound on every host.

    Docker's own `Tmpfs` takes the rights of the image's folder instead of those that were asked for.
    """
    uid, _, gid = user.partition(":")
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={spec.disk_mb}m,uid={uid},gid={gid},mode=0700,nosuid,nodev"}
    volume = {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": options}}
    return {"Type": "volume", "Target": path, "VolumeOptions": volume}


def _bind(mount: Mount) -> dict[str, Any]:
    bind = {"Type": "bind", "Source": mount.source, "Target": mount.path, "ReadOnly": not mount.writable}
    return bind | {"BindOptions": {"Propagation": "rprivate", "NonRecursive": True}}
