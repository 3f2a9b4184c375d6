"""What a server says that it offers, read within bounds into what can be pinned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from pointsman.kit.json_schema import JsonSchema, SchemaInvalidError
from pointsman.tools.mcp.errors import McpListingRefused
from pointsman.tools.mcp.rows import PinnedTool, Tools, encoded

if TYPE_CHECKING:
    import mcp_types

_LONGEST_NAME = 255
_DEEPEST = 32


def read_listing(offered: Iterable[mcp_types.Tool], *, most: int, most_bytes: int) -> Tools:
    """The tools by name; the first of a name counts. Raises McpListingRefused."""
    found: dict[str, PinnedTool] = {}
    for tool in offered:
        found.setdefault(tool.name, _read(tool))
        if len(found) > most:
            raise McpListingRefused(f"The server offers more than {most} tools.", hint="An operator raises POINTSMAN_MCP__TOOLS.")
    tools = tuple(found[name] for name in sorted(found))
    size = _size(tools)
    if size > most_bytes:
        raise McpListingRefused(
            f"The server's tools take {size} bytes, {most_bytes} are taken.", hint="An operator raises POINTSMAN_MCP__SCHEMA_BYTES."
        )
    return tools


def _read(tool: mcp_types.Tool) -> PinnedTool:
    hints = tool.annotations
    if not tool.name or len(tool.name) > _LONGEST_NAME:
        raise McpListingRefused(f"A tool's name has {len(tool.name)} characters; 1 to {_LONGEST_NAME} are taken.")
    if tool.input_schema.get("type", "object") != "object" or _depth(tool.input_schema) > _DEEPEST:
        raise McpListingRefused(f"The tool {tool.name!r} takes no object, or its schema is deeper than {_DEEPEST} levels.")
    try:
        JsonSchema(tool.input_schema)
    except SchemaInvalidError as error:
        raise McpListingRefused(f"The schema of the tool {tool.name!r} is no JSON Schema: {str(error)[:_LONGEST_NAME]}.") from None
    return PinnedTool(
        name=tool.name,
        description=tool.description or tool.title or "",
        parameters={"type": "object", **tool.input_schema},
        read_only=bool(hints and hints.read_only_hint),
        idempotent=bool(hints and hints.idempotent_hint),
    )


def _depth(value: Any) -> int:
    """Of nested arrays and objects, without recursion: nobody has bounded it yet."""
    deepest, level = 0, [value]
    while level and deepest <= _DEEPEST:
        deepest += 1
        level = [inner for outer in level for inner in _inside(outer)]
    return deepest


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()  # pyright: ignore[reportUnknownVariableType]
    return value if isinstance(value, list) else ()  # pyright: ignore[reportUnknownVariableType]


def _size(tools: Tools) -> int:
    try:
        return len(encoded(tools).encode())
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError) as error:
        raise McpListingRefused(f"A tool's description or schema cannot be kept: {error}.") from None
