"""What a reader may say: pieces of text within bounds, or a code why there are none."""

from __future__ import annotations

import json
from typing import BinaryIO

_LONGEST_PIECE = 500_000  # letters
_LONGEST_HEADING = 300


class Refused(Exception):  # noqa: N818 - a fact about the file
    """The file is not read; `code` is one of those that the other side has a sentence for, `what` goes into it."""

    def __init__(self, code: str, what: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.what = what


class Answer:
    """Writes lines of JSON."""

    def __init__(self, stream: BinaryIO, text_bytes: int) -> None:
        self._stream = stream
        self._left = text_bytes
        self._pieces = 0

    def say(self, text: str, page: int | None = None, heading: str | None = None) -> None:
        """A piece of text; raises Refused beyond what the file may hold. Of blanks alone nothing is said."""
        for start in range(0, len(text), _LONGEST_PIECE):
            part = text[start : start + _LONGEST_PIECE]
            if not part.strip():
                continue
            self._left -= len(part.encode(errors="replace"))
            if self._left < 0:
                raise Refused("too-much-text")
            self._pieces += 1
            self._write(
                {"kind": "piece", "text": _sound(part), "page": page, "heading": _sound(heading[:_LONGEST_HEADING]) if heading else None}
            )

    def end(self) -> None:
        """That was all."""
        self._write({"kind": "end", "pieces": self._pieces})

    def refuse(self, code: str, what: str = "") -> None:
        """The file is not read."""
        self._write({"kind": "refusal", "code": code, "what": what})

    def _write(self, said: dict[str, object]) -> None:
        self._stream.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()


def _sound(text: str) -> str:
    """Half letters, which some PDF have, are none."""
    return text.encode("utf-8", "replace").decode()
