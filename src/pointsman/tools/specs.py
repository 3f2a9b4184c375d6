"""How a prompt or an agent names a tool: `{type, name, …}`, validated, and refused where nothing would act on it yet."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator

from pointsman.kit.ids import ChosenId
from pointsman.kit.problems import FieldError, NotSupportedYet
from pointsman.web.wire import Body

BUILTIN_TOOLS = ("current_time", "knowledge_search", "memory", "think")
_LATER_TYPES = ("openapi",)
_LATER_BUILTINS = ("http_fetch",)


def refuse_later_tools(tools: Any, pointer: str) -> None:
    """Refuse references to tools of a later release; looks at the raw JSON, whatever its shape. Raises NotSupportedYet."""
    if not isinstance(tools, list):
        return
    errors = tuple(error for index, tool in enumerate(cast("list[Any]", tools)) for error in _later(tool, f"{pointer}/{index}"))
    if errors:
        raise NotSupportedYet(
            "A tool in this list has nothing behind it yet.",
            hint=f"Built-in tools of this release: {', '.join(BUILTIN_TOOLS)}. Remove the others.",
            errors=errors,
        )


def _later(tool: Any, pointer: str) -> list[FieldError]:
    if not isinstance(tool, dict):
        return []
    kind, name = (cast("dict[str, Any]", tool).get(key) for key in ("type", "name"))
    if kind in _LATER_TYPES:
        return [FieldError(f"{pointer}/type", f"Tools of type {kind} come with a later release.")]
    if kind == "builtin" and name in _LATER_BUILTINS:
        return [FieldError(f"{pointer}/name", f"The built-in tool {name} comes with a later release.")]
    return []


def _known(name: Any) -> Any:
    if not isinstance(name, str) or name in BUILTIN_TOOLS:
        return name
    close = difflib.get_close_matches(name, BUILTIN_TOOLS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Built-in tools: {', '.join(BUILTIN_TOOLS)}."
    raise ValueError(f"There is no built-in tool of that name. {hint}")


class BuiltinRef(Body):
    """A built-in tool that an agent or a prompt brings along."""

    type: Literal["builtin"]
    name: Annotated[Literal["current_time", "knowledge_search", "memory", "think"], BeforeValidator(_known)]
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


def _zone_exists(name: str) -> bool:
    if name == "UTC":
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


ToolRef = Annotated[BuiltinRef | McpRef, Field(discriminator="type")]


def _once_each(tools: list[BuiltinRef | McpRef]) -> list[BuiltinRef | McpRef]:
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
