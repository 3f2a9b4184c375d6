"""What a target's `connection_config` and `capacity` may say, for each type of target."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from pointsman.execution.configs import read_config
from pointsman.execution.grants import EVERYBODY, Grants, MountGrant, Plain, Secret, Values
from pointsman.execution.rows import TargetType
from pointsman.kit.ids import ChosenId
from pointsman.web.wire import Body

_PEM = r"^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s-]+$"
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


class Toleration(Body):
    """Which taint of a node a job's pod may stand."""

    key: Word | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class KubernetesConnection(Grants):
    """A namespace of a Kubernetes cluster, reached by a server and a token, by a kubeconfig, or from within the cluster."""

    image: Word
    server: Url | None = Field(default=None, description="Such as `https://10.0.0.1:6443`; needs `token`.")
    token: Secret | None = None
    ca: Annotated[str, StringConstraints(max_length=65_536, pattern=_PEM)] | None = Field(
        default=None, description="The certificate authority of `server`, in PEM; unset: those that the worker's host trusts."
    )
    in_cluster: bool = Field(default=False, strict=True, description="Whether the worker's own pod says where the cluster is.")
    kubeconfig: Secret | None = None
    context: Plain | None = Field(default=None, description="Of the kubeconfig; unset: its current one.")
    namespace: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "default"
    service_account: Word | None = None
    runtime_class: Word | None = None
    node_selector: dict[str, Plain] = Field(default_factory=dict[str, str], max_length=32)
    tolerations: list[Toleration] = Field(default_factory=list[Toleration], max_length=32)
    user: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] = 64123
    user_namespaces: bool = Field(default=False, strict=True, description="Whether pods get a user namespace; the cluster must have them.")
    network_policy: Literal["required", "external"] = Field(
        default="required", description="`external`: something else than a NetworkPolicy of the namespace keeps jobs from the network."
    )
    start_seconds: int = Field(default=120, strict=True, ge=5, le=3600, description="How long a pod may take until it runs.")

    @field_validator("server")
    @classmethod
    def _keeps_the_token_secret(cls, server: str | None) -> str | None:
        if server is not None and server.startswith("http:") and not re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])(:|/|$)", server):
            raise ValueError("The token would be readable on the way: write https://.")
        return server

    @field_validator("mounts")
    @classmethod
    def _has_no_mounts(cls, mounts: list[MountGrant]) -> list[MountGrant]:
        if mounts:
            raise ValueError("Folders of a node are not mounted into pods: put what jobs need into the image, or into their workspace.")
        return mounts

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> Self:
        if sum((self.server is not None, self.in_cluster, self.kubeconfig is not None)) != 1:
            raise ValueError("Say how the cluster is reached, in one way: `server` with `token`, `kubeconfig`, or `in_cluster`.")
        if (self.server is None) != (self.token is None):
            raise ValueError("`server` and `token` belong together.")
        if self.ca is not None and self.server is None:
            raise ValueError("`ca` belongs to `server`; the other ways bring their own.")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError("`context` is one of a `kubeconfig`.")
        return self


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
