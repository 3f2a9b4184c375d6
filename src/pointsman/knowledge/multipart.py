"""multipart/form-data read part by part as it arrives: small fields are kept, the file's bytes are passed on and never collected."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pointsman.kit.problems import FieldError
from pointsman.knowledge.errors import UploadInvalid, UploadMalformed

_MOST_PARTS = 16
_LONGEST_FIELD = 65_536
_MALFORMED = "Let the client's library make the body and its boundary."


@dataclass(slots=True)
class Part:
    """A part's head; `filename` is None for a field."""

    name: str
    filename: str | None
    content_type: str | None


@dataclass(slots=True)
class _Head:
    lines: dict[str, str] = field(default_factory=dict[str, str])
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)


class MultipartReader:
    """Parts in order. The data of a part is to be read before the next part is asked for; what is not read is skipped."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        """Read `chunks` of a body. Raises UploadMalformed where the header names no boundary."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise UploadMalformed("The Content-Type names no boundary.", hint=_MALFORMED)
        self._chunks = chunks
        self._seen: deque[Part | bytes | None] = deque()  # a part's head, its data, and None for its end
        self._head = _Head()
        self._parts = 0
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._head.name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._head.value.extend(data[start:end]),
                    "on_header_end": self._header,
                    "on_headers_finished": self._headed,
                    "on_part_data": lambda data, start, end: self._seen.append(data[start:end]),
                    "on_part_end": lambda: self._seen.append(None),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise UploadMalformed(f"The boundary cannot be used: {error}.", hint=_MALFORMED) from None

    async def next_part(self) -> Part | None:
        """The next part, None behind the last one. Raises UploadMalformed, UploadInvalid."""
        while True:
            while self._seen:
                found = self._seen.popleft()
                if isinstance(found, Part):
                    return found
            if not await self._read():
                return None

    async def data(self) -> AsyncIterator[bytes]:
        """The data of the part that was returned last, as it arrives."""
        while True:
            while self._seen:
                found = self._seen.popleft()
                if found is None:
                    return
                assert isinstance(found, bytes)
                yield found
            if not await self._read():
                raise UploadMalformed("The body ends within a part.", hint=_MALFORMED)

    async def text(self, name: str) -> str:
        """The data of a small field. Raises UploadInvalid."""
        kept = bytearray()
        async for data in self.data():
            kept += data
            if len(kept) > _LONGEST_FIELD:
                raise invalid(name, f"This part has at most {_LONGEST_FIELD} bytes.")
        try:
            return kept.decode()
        except UnicodeDecodeError:
            raise invalid(name, "This part is not UTF-8.") from None

    async def _read(self) -> bool:
        """Parse another piece of the body; False when there is none."""
        chunk = await anext(self._chunks, b"")
        if not chunk:
            if not self._complete:
                raise UploadMalformed("The body is cut off before its last boundary.", hint=_MALFORMED)
            return False
        if not self._complete:  # what stands behind the last boundary means nothing
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise UploadMalformed(f"{error}.", hint=_MALFORMED) from None
        return True

    def _begin(self) -> None:
        self._head = _Head()
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise UploadInvalid(f"An upload has at most {_MOST_PARTS} parts.")

    def _header(self) -> None:
        head = self._head
        head.lines[head.name.decode("latin-1").lower()] = head.value.decode("utf-8", "replace")
        head.name, head.value = bytearray(), bytearray()

    def _headed(self) -> None:
        self._seen.append(_part(self._head.lines))

    def _end(self) -> None:
        self._complete = True


def invalid(name: str, message: str) -> UploadInvalid:
    """What is wrong with one part."""
    return UploadInvalid(message, errors=(FieldError(f"/{name}", message),))


def _part(lines: Mapping[str, str]) -> Part:
    _, options = parse_options_header(lines.get("content-disposition", "").encode())
    name = options.get(b"name", b"").decode("utf-8", "replace")
    filename = options.get(b"filename")
    if not name:
        raise UploadMalformed("A part has no name.", hint=_MALFORMED)
    return Part(name, None if filename is None else filename.decode("utf-8", "replace"), lines.get("content-type"))
