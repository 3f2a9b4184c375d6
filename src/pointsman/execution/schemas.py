"""Engines and targets on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints

from pointsman.execution.connections import Capacity
from pointsman.execution.ports import Health
from pointsman.execution.rows import EngineType, ExecutionTarget, TargetType
from pointsman.jobs.worker_config import DEFAULT_POOL
from pointsman.kit.ids import ChosenId
from pointsman.kit.principal import Principal
from pointsman.web.wire import NOT_BLANK, Body, Moment, Read

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Provider = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Config = Annotated[dict[str, JsonValue], Field(max_length=100)]

_HANDLER = "Depends on `type`; read back with its defaults."
_CONNECTION = "How it is reached and what it grants; depends on `type`, and holds no secret, only names of secrets."
_PATCHED = "Merged into what is there: null takes a field back to its default."
# What a tenant needs to know of a target: what its jobs may have there, not how it is reached.
_TOLD_TO_TENANTS = ("isolation", "network", "policy", "image")


class EngineCreate(Body):
    """A new way of doing work."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name
    type: EngineType
    provider: Provider = Field(default="anthropic", description="The model provider of a `code_agent` that names no model.")
    handler_config: Config = Field(default_factory=dict[str, JsonValue], description=_HANDLER)
    description: Description | None = None
    is_default: bool = Field(
        default=False, strict=True, description="Used where a job names no engine; the former default is one no longer."
    )


class EnginePatch(Body):
    """Changes to an engine, a JSON merge patch that reaches into `handler_config`."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    provider: Provider = Field(default_factory=str)
    handler_config: Config = Field(default_factory=dict[str, JsonValue], description=_PATCHED)
    description: Description | None = Field(default_factory=str)
    is_default: bool = Field(default_factory=bool, strict=True)


class EngineRead(Read):
    """A way of doing work."""

    id: str
    name: str
    type: EngineType
    provider: str
    handler_config: dict[str, Any]
    description: str | None
    is_default: bool
    created_at: Moment
    updated_at: Moment
    is_active: bool


class TargetCreate(Body):
    """A new place for work."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name
    type: TargetType
    connection_config: Config = Field(default_factory=dict[str, JsonValue], description=_CONNECTION)
    capacity: Capacity = Field(default_factory=Capacity)
    worker_pool: ChosenId = Field(default=DEFAULT_POOL, description="The workers that may use it.")


class TargetPatch(Body):
    """Changes to a target, a JSON merge patch that reaches into `connection_config` and `capacity`."""

    name: Name = Field(default_factory=str)
    connection_config: Config = Field(default_factory=dict[str, JsonValue], description=_PATCHED)
    capacity: Config = Field(default_factory=dict[str, JsonValue], description=_PATCHED)
    worker_pool: ChosenId = Field(default_factory=str)


class TargetRead(Read):
    """A place for work. A key of a tenant sees of `connection_config` only what concerns its jobs."""

    id: str
    name: str
    type: TargetType
    connection_config: dict[str, Any]
    capacity: Capacity
    worker_pool: str
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, target: ExecutionTarget, principal: Principal) -> TargetRead:
        """Shape a row for somebody."""
        read = cls.model_validate(target)
        if principal.is_operator:
            return read
        told = {name: value for name, value in target.connection_config.items() if name in _TOLD_TO_TENANTS}
        return read.model_copy(update={"connection_config": told})


class TargetHealth(Read):
    """What a probe of a target saw just now."""

    status: Literal["healthy", "unhealthy"]
    latency_ms: float
    detail: str
    isolation: str | None = Field(description="What keeps work apart there: `bubblewrap`, `namespaces`, `container`, `none` and so on.")

    @classmethod
    def of(cls, health: Health) -> TargetHealth:
        """Shape it."""
        return cls(status=health.status, latency_ms=round(health.latency_ms, 1), detail=health.detail, isolation=health.isolation)
