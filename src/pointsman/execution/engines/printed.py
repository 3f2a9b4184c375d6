"""What a command prints, as text: told to the readers as it comes, and the beginning of it kept for the result."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from pointsman.execution.ports import Stream

MOST_OF_A_STREAM = 256 * 1024
MOST_OF_A_RESULT = 1024 * 1024


def plain(text: str) -> str:
    """Text that the database takes: half characters and NUL, which models write as well, are replaced."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


Tell = Callable[[str, Stream], None]


class Room:
    """How many characters a result still takes."""

    def __init__(self, most: int = MOST_OF_A_RESULT) -> None:
        self.left = most


class Printed:
    """Both streams of one command; bytes that are no text are replaced, characters are never cut in two."""

    def __init__(self, tell: Tell, room: Room) -> None:
        self._tell = tell
        self._streams: dict[Stream, _Kept] = {"stdout": _Kept(room), "stderr": _Kept(room)}

    def add(self, stream: Stream, data: bytes) -> None:
        """An `OnOutput`."""
        if text := self._streams[stream].add(data):
            self._tell(text, stream)

    def end(self) -> None:
        """The command is over: what an unfinished character left behind is no text either."""
        for stream, kept in self._streams.items():
            if text := kept.add(b"", final=True):
                self._tell(text, stream)

    @property
    def stdout(self) -> str:
        """What is kept of it."""
        return self._streams["stdout"].text()

    @property
    def stderr(self) -> str:
        """What is kept of it."""
        return self._streams["stderr"].text()


class _Kept:
    def __init__(self, room: Room) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._room = room
        self._left = MOST_OF_A_STREAM
        self._parts: list[str] = []
        self._cut = 0

    def add(self, data: bytes, *, final: bool = False) -> str:
        # PostgreSQL's JSON has no NUL.
        text = self._decoder.decode(data, final).replace("\0", "\N{REPLACEMENT CHARACTER}")
        part = text[: min(self._left, self._room.left)]
        self._left -= len(part)
        self._room.left -= len(part)
        self._cut += len(text) - len(part)
        if part:
            self._parts.append(part)
        return text

    def text(self) -> str:
        kept = "".join(self._parts)
        return f"{kept}\n[{self._cut} more characters were not kept]\n" if self._cut else kept
