"""What a target's `connection_config` and `capacity` may say, for each type of target."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from pointsman.execution.configs import read_config
from pointsman.execution.grants import EVERYBODY, Grants, Plain, Secret, Values
from pointsman.execution.rows import TargetType
from pointsman.kit.ids import ChosenId
from pointsman.web.wire import Body

_HTTP = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"

Url = Annotated[Plain, StringConstraints(pattern=_HTTP)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,254}$")]
Folder = Annotated[str, StringConstraints(pattern=r"^/[^\x00\n]{1,1023}$")]


class Capacity(Body):
    """Ceilings of a target: how many jobs at once, over all workers, and the most that one job may have."""

    max_concurrent_jobs: int = Field(default=4, strict=True, ge=0, le=100_000, description="0 takes no job.")
    memory_mb: int = Field(default=4096, strict=True, ge=16, le=1_048_576, description="Most memory of one job in MB (2^20 bytes).")
    cpus: float = Field(default=2.0, gt=0, le=256, description="Most processors of one job.")


class LocalConnection(Grants):
    """The worker's own host."""

    tenants: list[ChosenId | Literal["*"]] = Field(default_factory=lambda: [EVERYBODY], max_length=1000)
    isolation: Literal["auto", "bubblewrap", "namespaces", "none"] = Field(
        default="auto", description="`none` keeps nothing apart, and is shown on every job."
    )


class DockerConnection(Grants):
    """A Docker daemon, by its socket or by TLS."""

    image: Word
    host: Annotated[str, StringConstraints(pattern=r"^(unix:///[^\s]+|(tcp|https?)://[^\s@/]+)$")] = "unix:///var/run/docker.sock"
    pull: bool = Field(default=False, strict=True, description="Whether an image that is not there is pulled.")
    api_version: Annotated[str, StringConstraints(pattern=r"^\d\.\d{1,3}$")] | None = Field(default=None, description="Unset: negotiated.")
    network_name: Word = Field(default="bridge", description="The network of jobs that may have one; the others have none.")
    user: Annotated[str, StringConstraints(pattern=r"^\d{1,10}:\d{1,10}$")] = "64123:64123"
    runtime: Word | None = None
    tls_ca: Secret | None = None
    tls_cert: Secret | None = None
    tls_key: Secret | None = None

    @field_validator("user")
    @classmethod
    def _is_not_root(cls, user: str) -> str:
        if "0" in user.split(":"):
            raise ValueError("Jobs do not run as root: write UID:GID, neither of them 0.")
        return user


class KubernetesConnection(Grants):
    """A namespace of a Kubernetes cluster."""

    image: Word
    api_server: Url | None = Field(default=None, description="Unset: the cluster that the worker itself runs in.")
    namespace: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "default"
    token: Secret | None = None
    ca: Secret | None = None
    service_account: Word | None = None
    runtime_class: Word | None = None
    node_selector: dict[str, Plain] = Field(default_factory=dict[str, str], max_length=32)
    user: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] = 64123


class SshConnection(Grants):
    """A host with an SSH server, pinned by its key."""

    host: Word
    port: int = Field(default=22, strict=True, ge=1, le=65535)
    user: Word
    host_key: Annotated[str, StringConstraints(min_length=20, max_length=4096, pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+")] = Field(
        description="The host's public key as in known_hosts, such as `ssh-ed25519 AAAA…`."
    )
    private_key: Secret
    passphrase: Secret | None = None
    isolation: Literal["auto", "namespaces", "none"] = Field(
        default="auto", description="`auto` takes namespaces where the host gives them to its accounts, `namespaces` runs nothing without."
    )
    folder: Folder = Field(default="/tmp/pointsman", description="Where the workspaces are.")  # noqa: S108 - on another host, made 0700


class RemoteServiceConnection(Grants):
    """A target of another Pointsman, by its runner API."""

    url: Url
    api_key: Secret
    target: ChosenId = "local"


class ManagedAgentsConnection(Grants):
    """A remote agent API: its engine says how it is talked to, this is where it is."""

    url: Url
    api_key: Secret | None = None
    headers: Values = Field(default_factory=dict[str, Any], description="Sent with each request.")


Connection = LocalConnection | DockerConnection | KubernetesConnection | SshConnection | RemoteServiceConnection | ManagedAgentsConnection
_KINDS: dict[TargetType, type[Connection]] = {
    "local": LocalConnection,
    "docker": DockerConnection,
    "kubernetes": KubernetesConnection,
    "ssh": SshConnection,
    "remote_service": RemoteServiceConnection,
    "managed_agents": ManagedAgentsConnection,
}


def read_connection(kind: TargetType, raw: dict[str, Any]) -> Connection:
    """A `connection_config`, with its defaults. Raises InvalidRequest with pointers below `/connection_config`."""
    return read_config(_KINDS[kind], raw, "connection_config")


def read_capacity(raw: dict[str, Any]) -> Capacity:
    """A `capacity`, with its defaults. Raises InvalidRequest with pointers below `/capacity`."""
    return read_config(Capacity, raw, "capacity")
