"""What a worker may do: the `worker_config` of an agent, snapshotted into each of its jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from pointsman.web.wire import Body

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]
# One that could never match, such as `command(git push`, would give false safety.
ToolPattern = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\s()]+(\([\s\S]*\))?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$")]
DEFAULT_POOL = "linux_worker_pool"


class McpServer(Body):
    """A server of tools, by standard input and output or by HTTP."""

    name: Name
    type: Literal["stdio", "http"]
    command: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    args: list[str] = Field(default_factory=list[str], max_length=64)
    env: dict[str, str] = Field(default_factory=dict[str, str], max_length=64)
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str], max_length=64)
    description: str | None = Field(default=None, max_length=2000)

    @model_validator(mode="after")
    def _has_an_address(self) -> McpServer:
        if self.type == "stdio" and self.command is None:
            raise ValueError("A stdio server needs `command`.")
        if self.type == "http" and self.url is None:
            raise ValueError("An http server needs `url`.")
        return self


class Hook(Body):
    """Something that is done at a moment of a job's life."""

    event: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    matcher: Pattern | None = None
    hook_type: Literal["command", "http"]
    command_or_url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    timeout: int = Field(default=60, ge=1, le=600, description="Seconds.")


class Permissions(Body):
    """Patterns `tool` or `tool(argument glob)`, `*` for all; the first match of deny, ask, allow counts."""

    allow: list[ToolPattern] = Field(default_factory=list[str], max_length=256)
    deny: list[ToolPattern] = Field(default_factory=list[str], max_length=256)
    ask: list[ToolPattern] = Field(default_factory=list[str], max_length=256)


class WorkerConfig(Body):
    """What a worker may do; a job's own wishes can only tighten it."""

    mcp_servers: list[McpServer] = Field(default_factory=list[McpServer], max_length=32)
    hooks: list[Hook] = Field(default_factory=list[Hook], max_length=32)
    permissions: Permissions = Field(default_factory=Permissions)
    execution_engine_preference: Name | None = Field(default=None, description="An engine's id; without one the default engine is used.")
    worker_pool: Name = Field(default=DEFAULT_POOL, description="Targets of this pool are chosen from.")
    allowed_tools: list[ToolPattern] | None = Field(default=None, max_length=256, description="The only tools it may use; null: all.")
    allowed_commands: list[Pattern] | None = Field(
        default=None, max_length=256, description="Globs of the only command lines it may run (argv joined by spaces); null: all."
    )
