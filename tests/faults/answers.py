"""Keeps every answer that a stage's clients got, head and body, so that it can be searched; streams are in the record instead."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

# The one answer that shows a key on purpose, once, to who made it.
_SHOWN_ONCE = re.compile(rb'("api_key"\s*:\s*")[^"]*')
_MAKES_KEYS = re.compile(r"/v2/keys(/\d+/rotate)?")


class Answers:
    """A hook for responses of httpx that appends to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")

    async def __call__(self, response: httpx.Response) -> None:
        """Write one answer down. Raises what reading it raises."""
        request = response.request
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            body = b"(a stream)"
        else:
            body = await response.aread()
        if request.method == "POST" and _MAKES_KEYS.fullmatch(request.url.path):
            body = _SHOWN_ONCE.sub(rb"\1", body)
        head = b"".join(b"%s: %s\n" % pair for pair in response.headers.raw)
        self._file.write(b"%s %s %d\n%s\n%s\n\n" % (request.method.encode(), request.url.path.encode(), response.status_code, head, body))

    def flush(self) -> None:
        """Before the file is read."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()
