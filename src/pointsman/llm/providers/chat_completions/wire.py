"""The wire format of Chat Completions, as far as an answer is read; fields that are not part of it are not judged."""

from __future__ import annotations

from typing import Any

import msgspec

Content = str | list[Any] | None
_Reported = dict[str, Any] | None


class Function(msgspec.Struct):
    """A function that is called; of a streamed one a piece. Some servers send the arguments as an object."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallPiece(msgspec.Struct):
    """A tool call or, where it is streamed, a piece of one; `index` says of which."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    extra_content: Any = None


class Delta(msgspec.Struct):
    """A message or, where it is streamed, a piece of one. `reasoning` is spelled in two ways, which not only strings come in."""

    content: Content = None
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[CallPiece] | None = None


class ChunkChoice(msgspec.Struct):
    """A choice within a chunk of a stream."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """One event of a stream. `error` is what a provider says that fails in the middle."""

    choices: list[ChunkChoice] | None = None
    usage: _Reported = None
    error: Any = None


class Choice(msgspec.Struct):
    """A choice of a whole answer."""

    message: Delta
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """A whole answer."""

    choices: list[Choice]
    usage: _Reported = None


chunks = msgspec.json.Decoder(Chunk)
completions = msgspec.json.Decoder(Completion)
# Bad UTF-8 and absurd nesting have errors of their own.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def text_in(content: Content) -> str:
    """The text of a message's content, which some servers send as a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(_text_of(part) for part in content or ())


def thought_in(delta: Delta) -> tuple[str, str]:
    """The field that holds what the model thinks, and the thought."""
    if delta.reasoning and isinstance(delta.reasoning, str):
        return "reasoning", delta.reasoning
    if delta.reasoning_content and isinstance(delta.reasoning_content, str):
        return "reasoning_content", delta.reasoning_content
    return "", ""


def arguments_of(function: Function | None) -> str:
    """The JSON text of a call's arguments, or the piece of it."""
    arguments = function.arguments if function is not None else None
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments or ""


def _text_of(part: Any) -> str:
    if isinstance(part, dict):
        text: Any = part.get("text") if part.get("type") == "text" else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return text if isinstance(text, str) else ""
    return part if isinstance(part, str) else ""
