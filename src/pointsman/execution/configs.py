"""Reads a config whose shape depends on the type beside it, with errors that point into it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import pydantic

from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.web.validation import invalid_request
from pointsman.web.wire import Body

C = TypeVar("C", bound=Body)


def read_config(kind: type[C], raw: Mapping[str, Any], field: str) -> C:
    """The config, with its defaults. Raises InvalidRequest with pointers below `/<field>`."""
    try:
        return kind.model_validate(raw)
    except pydantic.ValidationError as error:
        found = invalid_request(cast("list[dict[str, Any]]", error.errors(include_url=False, include_input=False)), kind)
        placed = tuple(FieldError(f"/{field}{one.pointer}", one.message) for one in found.errors)
        raise InvalidRequest(found.detail, errors=placed) from None


def stored(config: Body) -> dict[str, Any]:
    """As it is kept and read back: JSON with its defaults, without what is not there."""
    return config.model_dump(mode="json", exclude_none=True)


def closest(name: str, known: list[str]) -> str:
    """Which of them was probably meant, as a sentence."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
