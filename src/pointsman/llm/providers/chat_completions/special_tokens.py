"""Keeps chat templates' special tokens in a conversation's text from being taken for control tokens by the server.

A server of open weights may tokenize a literal `<|im_start|>` in a tool's result as the real one. pydantic-ai puts an invisible
character into each in what is sent, and takes it out of what the model copies; here the same is done to our own messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic_ai._special_tokens import (
    StreamRestorer,
    break_special_tokens,
    restore_special_tokens,
    restore_special_tokens_in_parts,
)
from pydantic_ai.messages import PartDeltaEvent, TextPartDelta, ToolCallPart

_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")
_ESCAPED = "\\u"


def break_tokens(text: str) -> str:
    """The text as it may be sent."""
    # Every token begins with one of these; a search for a character is much faster than one for a pattern.
    return break_special_tokens(text) if "<" in text or "[" in text or "]" in text else text


def break_tokens_in_texts(texts: Sequence[str]) -> list[str]:
    """The same for texts that the server joins, so that a token may stretch over several."""
    joined = "".join(texts)
    broken = break_tokens(joined)
    if broken == joined:
        return list(texts)
    pieces: list[str] = []
    read = written = 0
    for text in texts:
        began, end = written, read + len(text)
        while read < end:
            read += broken[written] == joined[read]
            written += 1
        # What was put in right after a text's last character belongs to it.
        written += written < len(broken) and broken[written : written + 1] != joined[read : read + 1]
        pieces.append(broken[began:written])
    return pieces


def restore_text(text: str) -> str:
    """What the model meant by a text."""
    return text if text.isascii() or not _INVISIBLE.search(text) else restore_special_tokens(text)


def restore_arguments(arguments: str) -> str:
    """What the model meant by a call's arguments."""
    if _ESCAPED not in arguments and (arguments.isascii() or not _INVISIBLE.search(arguments)):
        return arguments
    (part,) = restore_special_tokens_in_parts([ToolCallPart("restored", arguments)])
    return str(part.args)


class TextRestorer:
    """`restore_text` for a text that comes in pieces; it holds back no more than what may be such a character."""

    __slots__ = ("_last", "_restorer")

    def __init__(self) -> None:
        self._last = ""
        self._restorer: StreamRestorer | None = None

    def feed(self, piece: str) -> str:
        """What may be shown by now."""
        if self._restorer is None:
            if piece.isascii() or not _INVISIBLE.search(piece):
                self._last = piece[-1:] or self._last
                return piece
            self._restorer = StreamRestorer()
            self._restore(self._restorer, self._last)
        return self._restore(self._restorer, piece)

    def flush(self) -> str:
        """What was held back when nothing more comes."""
        events = self._restorer.flush() if self._restorer is not None else []
        return "".join(event.delta.content_delta for event in events if isinstance(event.delta, TextPartDelta))

    def _restore(self, restorer: StreamRestorer, piece: str) -> str:
        event = restorer.restore(PartDeltaEvent(index=0, delta=TextPartDelta(content_delta=piece)))
        assert isinstance(event, PartDeltaEvent)
        assert isinstance(event.delta, TextPartDelta)
        return event.delta.content_delta
