"""What a user or a tenant left: exported, and erased."""

from __future__ import annotations

from collections.abc import Iterator

from pointsman.client.shapes import Erasure
from pointsman.client.transport import Transport, raise_problem

_SILENCE = 60.0


class Leaving:
    """`/v2/users` or `/v2/tenants`."""

    def __init__(self, transport: Transport, noun: str, *data: str) -> None:
        self._transport = transport
        self._noun = noun
        self._data = data

    def export(self, visible_id: str) -> Iterator[str]:
        """Lines of JSON; the last one, of kind `end`, holds the `export_id`. One without it was cut off."""
        path = ("v2", self._noun, visible_id, "export")
        with self._transport.explained(), self._transport.stream("GET", *path, idle=_SILENCE) as response:
            if response.is_error:
                response.read()
            raise_problem(response)
            yield from response.iter_lines()

    def erase(self, visible_id: str, *, export_id: str | None = None, without_export: bool = False) -> Erasure:
        """Begin an erasure, or see how far it is."""
        query = {"export_id": export_id, "without_export": without_export}
        return self._transport.call("DELETE", "v2", self._noun, visible_id, *self._data, query=query)


class Erasures:
    """`/v2/erasures`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, erasure_id: str) -> Erasure:
        """How far it is."""
        return self._transport.call("GET", "v2", "erasures", erasure_id)
