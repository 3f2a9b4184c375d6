"""What a server answered, as a model is told it: text and JSON as they are, everything else by what it is, and no more than fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pointsman.turns.ports import ToolOutcome

if TYPE_CHECKING:
    import mcp_types

_ASKED = "The server asked for something in return, which this gateway does not give: nobody is there to answer it. It did not do the rest."
_NOTHING = "The tool returned nothing."


def outcome_of(result: mcp_types.CallToolResult | mcp_types.InputRequiredResult, scrub: Callable[[str], str], *, most: int) -> ToolOutcome:
    """At most `most` bytes of it, after what the server may only repeat was taken out; an answer that is an error stays one."""
    import mcp_types  # noqa: PLC0415 - seconds that the start need not wait for

    if isinstance(result, mcp_types.InputRequiredResult):
        return ToolOutcome(_ASKED, is_error=True)
    parts = [] if result.structured_content is None else [json.dumps(result.structured_content, ensure_ascii=False)]
    parts += [_told(block) for block in result.content if not _repeats(block, result.structured_content)]
    return ToolOutcome(cut(scrub("\n".join(parts)) or _NOTHING, most), result.is_error)


def cut(text: str, most: int) -> str:
    """The beginning of a text where it is longer than so many bytes, and how much of it is missing. It can be kept by PostgreSQL."""
    data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return f"{data[:most].decode(errors='ignore')}\n[cut off: {len(data) - most} more bytes]"


def _repeats(block: mcp_types.ContentBlock, structured: Any) -> bool:
    """Whether a text only says as text what the structured content says; servers add it for clients that know nothing else."""
    if structured is None or block.type != "text":
        return False
    try:
        said = json.loads(block.text)
    except (ValueError, RecursionError):
        said = block.text
    inner = structured.get("result") if isinstance(structured, dict) and len(structured) == 1 else structured  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
    return said in (structured, inner) or (isinstance(inner, list) and said in inner)


def _told(block: mcp_types.ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type} {block.mime_type}, {_size(block.data)} bytes: not shown]"
        case "resource_link":
            return " ".join(_given(("[resource", block.uri, block.mime_type, block.description))) + "]"
        case "resource":
            resource = block.resource
            text = getattr(resource, "text", None)
            if text is not None:
                return f"[resource {resource.uri}]\n{text}"
            return f"[resource {resource.uri} {resource.mime_type or ''}, {_size(getattr(resource, 'blob', ''))} bytes: not shown]"


def _given(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if value]


def _size(base64: str) -> int:
    """The bytes that a base64 text stands for."""
    return max(0, len(base64) * 3 // 4 - base64[-2:].count("="))
