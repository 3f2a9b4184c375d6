"""What a sandboxed reader says, line by line: taken for an attack until it has the one shape that is expected."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pointsman.knowledge.parsing.limits import ParsingLimits
from pointsman.knowledge.pieces import Piece

_LONGEST_LINE = 4 * 2**20  # bytes; the reader cuts its text into lines of less
_LONGEST_HEADING = 1000
_HIGHEST_PAGE = 10**6
_MOST_SAID = 2000
_ESCAPED = 3  # bytes of a line may stand for one of the text: JSON has no shorter way to write some


class _Said(msgspec.Struct, tag_field="kind", tag="piece", forbid_unknown_fields=True):
    text: str
    page: int | None = None
    heading: str | None = None


class _End(msgspec.Struct, tag_field="kind", tag="end", forbid_unknown_fields=True):
    pieces: int


class _Refusal(msgspec.Struct, tag_field="kind", tag="refusal", forbid_unknown_fields=True):
    code: str
    what: str = ""


_DECODER = msgspec.json.Decoder(_Said | _End | _Refusal)


class Answers:
    """Hears one reader. `overran` is called as soon as it says more than it may."""

    def __init__(self, limits: ParsingLimits, overran: Callable[[], None]) -> None:
        self._limits = limits
        self._overran = overran
        self._rest = bytearray()
        self._heard = 0
        self._text = 0
        self._ended = False
        self._stderr = b""
        self.pieces: list[Piece] = []
        self.refusal: tuple[str, str] | None = None
        self.excessive = False
        self.malformed = False

    @property
    def complete(self) -> bool:
        """Whether it came to its end, by its own word and by what was heard."""
        return self._ended and not self.malformed and not self._rest

    @property
    def said(self) -> str:
        """What it said beside its answer: for logs, never for users."""
        return self._stderr.decode(errors="replace")

    def hear(self, stream: str, data: bytes) -> None:
        """Take what came on `stdout` or `stderr`."""
        if stream == "stderr":
            self._stderr = (self._stderr + data)[-_MOST_SAID:]
            return
        self._heard += len(data)
        if self._heard > _ESCAPED * self._limits.text_bytes + _LONGEST_LINE:
            self._overrun()
        if self.excessive or self.malformed:
            return
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > _LONGEST_LINE:
            self.malformed = True

    def _take(self, line: bytearray) -> None:
        try:
            said = _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.malformed = True
            return
        if self._ended or self.refusal is not None:
            self.malformed = True
        elif isinstance(said, _Said):
            self._add(said)
        elif isinstance(said, _End):
            self._ended = said.pieces == len(self.pieces)
        else:
            self.refusal = (said.code, said.what)

    def _add(self, said: _Said) -> None:
        self._text += len(said.text.encode(errors="replace"))
        if self._text > self._limits.text_bytes or len(self.pieces) >= self._limits.pieces:
            self._overrun()
        elif said.page is not None and not 0 < said.page < _HIGHEST_PAGE:
            self.malformed = True
        else:
            heading = None if said.heading is None else _storable(said.heading[:_LONGEST_HEADING])
            self.pieces.append(Piece(_storable(said.text), said.page, heading))

    def _overrun(self) -> None:
        self.excessive = True
        self._overran()


def _storable(text: str) -> str:
    """Without what no text of a database can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()
