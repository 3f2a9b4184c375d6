"""Bodies of requests that begin a run: read by msgspec, and what that refuses is explained field by field by a pydantic twin."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
import pydantic

from pointsman.web.validation import invalid_request
from pointsman.web.wire import Body

T = TypeVar("T", bound=msgspec.Struct)


class Parser(Generic[T]):
    """Reads one sort of body."""

    def __init__(self, kind: type[T], twin: type[Body]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._twin = twin

    def __call__(self, raw: bytes) -> T:
        """The request. Raises InvalidRequest."""
        try:
            return self._decode(raw)
        except msgspec.MsgspecError:
            return self._explained(raw)

    def _explained(self, raw: bytes) -> T:
        try:
            self._twin.model_validate_json(raw)
        except pydantic.ValidationError as error:
            raise invalid_request(error.errors(include_url=False, include_input=False), self._twin) from None
        return self._decode(raw)
