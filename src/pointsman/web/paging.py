"""Cursor paging: a list answers `items` and `next_cursor`; a cursor is opaque and survives inserts and deletes."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel

from pointsman.kit.problems import FieldError, InvalidRequest

Int4 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # an INTEGER column in a cursor
_FIRST_YEAR = 1970

T = TypeVar("T")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=200, description="Most items on the page.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[T]):
    """A part of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(*keys: Any) -> str:
    """The sort keys of the last row shown, opaque."""
    return base64.urlsafe_b64encode(msgspec.json.encode(keys)).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: Any) -> tuple[Any, ...] | None:
    """The sort keys in it, checked against `types`; None without a cursor. Raises InvalidRequest for anything we did not make."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        keys = msgspec.json.decode(raw, type=tuple[types])
        _refuse_unstorable(keys)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        error = FieldError("/query/cursor", "This is not a cursor of this list.")
        raise InvalidRequest("The cursor cannot be read.", hint="Use next_cursor unchanged.", errors=(error,)) from None
    return keys


def _refuse_unstorable(keys: tuple[Any, ...]) -> None:
    """What fits the types but no column: no row that we showed has it. Raises ValueError."""
    for key in keys:
        if isinstance(key, str) and "\x00" in key:
            raise ValueError("NUL")
        if isinstance(key, int) and not 0 <= key < 2**63:
            raise ValueError("out of range")
        if isinstance(key, dt.datetime) and (key.tzinfo is None or not _FIRST_YEAR <= key.year < dt.MAXYEAR):
            raise ValueError("out of range")


def page_of(rows: Sequence[Row], limit: int, shape: Callable[[Row], T], keys: Callable[[Row], tuple[Any, ...]]) -> Page[T]:
    """Cut a result that was asked for `limit + 1` rows into a page."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[shape(row) for row in shown], next_cursor=encode_cursor(*keys(shown[-1])) if more else None)
