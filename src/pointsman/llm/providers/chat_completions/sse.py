"""Server-sent events out of bytes, as they come: any line ending, split anywhere, in bounded memory."""

from __future__ import annotations

_LONGEST_EVENT = 4 * 1024 * 1024


class EventTooLong(Exception):  # noqa: N818 - a fact, like our problems
    """An event did not end within the bound."""


class Events:
    """Cuts a stream of bytes into the data of its events. Comments and fields other than `data` are passed over."""

    __slots__ = ("_after_cr", "_held", "_held_bytes", "_line_ended")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # pieces of the event that has not ended
        self._held_bytes = 0
        self._line_ended = False  # whether the last byte held ends a line
        self._after_cr = False  # a line feed now would belong to the carriage return before it

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that end within this piece. Raises EventTooLong."""
        piece = self._with_line_feeds(piece)
        if not piece:
            return []
        if b"\n\n" not in piece and not (self._line_ended and piece[0] == 10):
            self._hold(piece)
            return []
        blocks = (b"".join(self._held) + piece if self._held else piece).split(b"\n\n")
        self._held, self._held_bytes, self._line_ended = [], 0, False
        if blocks[-1]:
            self._hold(blocks[-1])
        data: list[bytes] = []
        for block in blocks[:-1]:
            if block.startswith(b"data: ") and b"\n" not in block:
                data.append(block[6:])
            elif found := _data_of(block):
                data.append(found)
        return data

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > _LONGEST_EVENT:
            raise EventTooLong
        self._held.append(piece)
        self._line_ended = piece.endswith(b"\n")

    def _with_line_feeds(self, piece: bytes) -> bytes:
        """The piece with all its line endings as line feeds. A carriage return ends its line at once."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece


def _data_of(block: bytes) -> bytes:
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
