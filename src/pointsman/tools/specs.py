"""How a prompt or an agent names a tool: `{type, name, …}`, validated; whether it is there is for the sources of tools to say."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator

from pointsman.kit.ids import ChosenId
from pointsman.web.wire import Body

BUILTIN_TOOLS = ("current_time", "http_fetch", "knowledge_search", "memory", "think")


def _known(name: Any) -> Any:
    if not isinstance(name, str) or name in BUILTIN_TOOLS:
        return name
    close = difflib.get_close_matches(name, BUILTIN_TOOLS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Built-in tools: {', '.join(BUILTIN_TOOLS)}."
    raise ValueError(f"There is no built-in tool of that name. {hint}")


class BuiltinRef(Body):
    """A built-in tool that an agent or a prompt brings along."""

    type: Literal["builtin"]
    name: Annotated[Literal["current_time", "http_fetch", "knowledge_search", "memory", "think"], BeforeValidator(_known)]
    timezone: str | None = Field(
        default=None, min_length=1, max_length=64, description="For `current_time`: an IANA time zone such as Europe/Berlin; UTC if absent."
    )

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("name", "current_time") != "current_time":
            raise ValueError("Only the tool current_time takes a time zone.")
        if not _zone_exists(value):
            raise ValueError("This is not an IANA time zone, such as Europe/Berlin or UTC.")
        return value


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("A tool is listed twice.")
    return names


ForeignName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class McpRef(Body):
    """The approved tools of an MCP server: all, or those of `tools`."""

    type: Literal["mcp"]
    name: ChosenId = Field(description="Id of the server.")
    tools: Annotated[list[ForeignName], Field(min_length=1, max_length=128), AfterValidator(_distinct)] | None = Field(
        default=None, description="Names as the server has them; absent: all that are approved, also later ones."
    )


class OpenApiRef(Body):
    """The tools of a registered OpenAPI document: all, or those of `operations`."""

    type: Literal["openapi"]
    name: ChosenId = Field(description="Id of the registration.")
    operations: Annotated[list[ForeignName], Field(min_length=1, max_length=128), AfterValidator(_distinct)] | None = Field(
        default=None, description="Operations as they were chosen there; absent: all of them, also later ones."
    )


def _zone_exists(name: str) -> bool:
    if name == "UTC":
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


ToolRef = Annotated[BuiltinRef | McpRef | OpenApiRef, Field(discriminator="type")]


def _once_each(tools: list[BuiltinRef | McpRef | OpenApiRef]) -> list[BuiltinRef | McpRef | OpenApiRef]:
    seen: set[tuple[str, str]] = set()
    for tool in tools:
        if (tool.type, tool.name) in seen:
            raise ValueError(f"The {'tool' if tool.type == 'builtin' else f'{tool.type} tool'} {tool.name} is listed twice.")
        seen.add((tool.type, tool.name))
    return tools


ToolRefs = Annotated[list[ToolRef], Field(max_length=64), AfterValidator(_once_each)]


def stored_tools(tools: Sequence[Body]) -> list[dict[str, Any]]:
    """The references as they are stored and read back."""
    return [tool.model_dump(mode="json", exclude_none=True) for tool in tools]
