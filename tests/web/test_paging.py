from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.kit.problems import InvalidRequest
from pointsman.web.paging import Int4, Page, decode_cursor, encode_cursor, page_of

MOMENTS = st.integers(0, 2**51).map(lambda micros: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50)


@given(MOMENTS, NAMES, st.integers(0, 2**63 - 1))
def test_a_cursor_gives_back_exactly_what_the_row_had(moment: dt.datetime, name: str, number: int) -> None:
    cursor = encode_cursor(moment, name, number)
    assert decode_cursor(cursor, dt.datetime, str, int) == (moment, name, number)
    assert not set(cursor) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_without_a_cursor_the_list_begins_at_its_beginning() -> None:
    assert decode_cursor(None, int) is None


def forged(*keys: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "%%%", "ä", "a b", "eyJhIjoxfQ", "[1]", "\ud83d"),
        encode_cursor("text"),
        encode_cursor(1, 2),
        encode_cursor(),
        encode_cursor(None),
        forged(2**70),
        forged(-1),
        forged(1.5),
        forged(2**31),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
    ],
    ids=repr,
)
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_cursor(cursor, Int4)
    assert [error.pointer for error in refused.value.errors] == ["/query/cursor"]


@pytest.mark.parametrize("keys", [("2026-01-01T00:00:00", "a"), ("9999-12-31T23:59:59-12:00", "a"), ("2026-01-01T00:00:00Z", "a\x00b")])
def test_keys_that_no_row_can_have_are_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        decode_cursor(forged(*keys), dt.datetime, str)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_is_sent_as_a_cursor_is_read_or_refused(cursor: str) -> None:
    with suppress(InvalidRequest):
        assert decode_cursor(cursor, int)


def page(rows: Sequence[int], limit: int, cursor: str | None) -> Page[int]:
    """A list in memory, asked the way that services ask theirs."""
    after = decode_cursor(cursor, int)
    found = [row for row in sorted(rows) if after is None or row > after[0]]
    return page_of(found[: limit + 1], limit, lambda row: row, lambda row: (row,))


@given(st.sets(st.integers(0, 1000), max_size=60), st.integers(1, 20), st.data())
def test_pages_show_every_row_once_while_others_come_and_go(rows: set[int], limit: int, data: st.DataObject) -> None:
    living, stayed, shown = set(rows), set(rows), list[int]()
    cursor: str | None = None
    while True:
        answer = page(tuple(living), limit, cursor)
        shown += answer.items
        if answer.next_cursor is None:
            break
        assert len(answer.items) == limit
        cursor = answer.next_cursor
        living |= data.draw(st.sets(st.integers(0, 1000), max_size=5))
        gone = data.draw(st.sets(st.sampled_from(sorted(living)), max_size=5)) if living else set[int]()
        living -= gone
        stayed -= gone
    assert shown == sorted(set(shown))
    assert stayed <= set(shown)
