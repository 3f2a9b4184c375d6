"""What the scan lets through and what it refuses, and where it says it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.problems import MalformedRequest
from pointsman.api.scanning import MOST_VALUES, JsonRefused, scan

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES, st.booleans())
def test_whatever_is_plain_json_passes(value: Any, ascii_only: bool) -> None:
    scan(json.dumps(value, ensure_ascii=ascii_only).encode(), depth=64)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a":1,"a":2}', "/a"),
        (b'[{"x":{"b":1,"b":{"c":NaN}}}]', "/0/x/b"),
        (b'{"a":{"a":1},"b":[0,{"a":1,"c":2,"a":3}]}', "/b/1/a"),
        (b'{"a/b":[1,99999999999999999999]}', "/a~1b/1"),
        (b'{"a":9223372036854775808}', "/a"),
        (b'{"a":-9223372036854775809}', "/a"),
        (b'{"a":' + b"1" * 5000 + b"}", "/a"),
        (b'{"a":1e999}', "/a"),
        (b'{"a":0.' + b"1" * 5000 + b"}", "/a"),
        (b'{"a":NaN}', "/a"),
        (b'{"a":-Infinity}', "/a"),
        (b'{"a":"\\u0000"}', "/a"),
        (b'{"a":["\\ud800 x"]}', "/a/0"),
        (b'{"a":"\\ude00\\ud83d"}', "/a"),
        (b'{"o":{"\\u0000":1}}', "/o"),
        (b'{"o":{"\\udfff":{"x":1}}}', "/o"),
        (b"[" * 65 + b"]" * 65, ""),
        (b'{"a":' * 65 + b"1" + b"}" * 65, ""),
        (b"[" * 100_000 + b"]" * 100_000, ""),
        (b"[" * 100_000, ""),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(body: bytes, pointer: str) -> None:
    with pytest.raises(JsonRefused) as refused:
        scan(body, depth=64)
    assert [error.pointer for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":9223372036854775807,"b":-9223372036854775808}',
        b'{"a":"\\\\u0000 is only text, and so is \\\\ud800"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"12345678901234567890123456789"}',
        b'{"a":"NaN","b":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
        b"[" * 64 + b"]" * 64,
        b'{"text":"' + b"," * (MOST_VALUES + 10) + b'"}',
        b" [1] ",
    ],
)
def test_what_only_looks_like_it_passes(body: bytes) -> None:
    scan(body, depth=64)


@pytest.mark.parametrize(
    "body",
    [b"{", b"{'a':1}", b"[1,]", b"\xff\xfe{", b"\xef\xbb\xbf{}", b'"\x00"', b'"a\nb"', b'{"a":"\xed\xa0\x80"}', b"01", b"1 2", b"", b"tru"],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        scan(body, depth=64)


def test_more_values_than_can_be_read_quickly_are_refused() -> None:
    with pytest.raises(JsonRefused, match="values"):
        scan(b"[" + b"[]," * MOST_VALUES + b"1]", depth=64)
