"""The wire of the runner API."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field, StringConstraints

from pointsman.execution.ports import Exited, SandboxSpec
from pointsman.kit.ids import ChosenId
from pointsman.web.wire import Body, Read

HANDLE = r"^pm-[A-Za-z0-9-]{1,60}$"
Handle = Annotated[str, StringConstraints(pattern=HANDLE)]


class SandboxCreate(Body):
    """What is asked for; the target's capacity and grants bound it. Mounts are the target's own."""

    target: ChosenId
    handle: Handle
    memory_mb: int = Field(ge=16, le=1_048_576, description="In MB (2^20 bytes).")
    cpus: float = Field(gt=0, le=256)
    pids: int = Field(default=256, ge=4, le=32_768)
    disk_mb: int = Field(default=1024, ge=1, le=1_048_576, description="In MB (2^20 bytes).")
    network: bool = False
    env: dict[str, str] = Field(default_factory=dict[str, str], max_length=256)

    @classmethod
    def of(cls, target: str, spec: SandboxSpec) -> SandboxCreate:
        """For a request."""
        return cls(
            target=target,
            handle=spec.handle,
            memory_mb=spec.memory_mb,
            cpus=spec.cpus,
            pids=spec.pids,
            disk_mb=spec.disk_mb,
            network=spec.network,
            env=dict(spec.env),
        )


class SandboxRead(Read):
    """A sandbox that is held for its caller."""

    handle: str
    host: str
    container_id: str | None
    peak_memory_mb: int | None


class SandboxHandles(Read):
    """The caller's sandboxes on a target."""

    handles: list[str]


_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """A command to be run; `id` names it for its cancellation, `stdin` is base64."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,64}$")]
    argv: Annotated[list[str], msgspec.Meta(min_length=1, max_length=4096)]
    cwd: str = "."
    env: dict[str, str] = {}
    stdin: Annotated[bytes, msgspec.Meta(extra_json_schema={"pattern": _BASE64})] = b""


def exited(ended: Exited) -> dict[str, object]:
    """How a command ended, as JSON."""
    oom = None if ended.oom is None else {"source": ended.oom.source, "detail": ended.oom.detail}
    return {"exit_code": ended.exit_code, "signal": ended.signal, "duration_ms": ended.duration_ms, "oom": oom}
