from __future__ import annotations

import re
import time

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.kit.ids import CHOSEN_ID, ChosenId, base62, is_chosen_id, new_id

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
chosen = pydantic.TypeAdapter(ChosenId)


def test_an_id_says_its_kind_and_is_one_that_a_caller_could_choose() -> None:
    made = new_id("run")
    assert re.fullmatch(r"run_[0-9A-Za-z]{22}", made)
    assert is_chosen_id(made)


def test_ids_sort_by_the_time_they_were_made() -> None:
    made: list[str] = []
    for _ in range(20):
        made.append(new_id("run"))
        time.sleep(0.002)
    assert made == sorted(made)


def test_ids_differ() -> None:
    assert len({new_id("run") for _ in range(20_000)}) == 20_000


@given(st.integers(min_value=0, max_value=2**128 - 1), st.integers(min_value=0, max_value=2**128 - 1))
def test_base62_keeps_the_number_and_the_order(one: int, other: int) -> None:
    text = base62(one, 22)
    number = 0
    for digit in text:
        number = number * 62 + ALPHABET.index(digit)
    assert (number, len(text)) == (one, 22)
    assert (text < base62(other, 22)) == (one < other)


@given(st.text(max_size=20) | st.from_regex(CHOSEN_ID) | st.just("a" * 255) | st.just("a" * 256))
def test_the_body_and_the_path_agree_on_what_may_be_chosen(value: str) -> None:
    try:
        accepted = bool(chosen.validate_python(value))
    except pydantic.ValidationError:
        accepted = False
    assert accepted == is_chosen_id(value)


@pytest.mark.parametrize("value", ["a\n", "", "-a", ".a", "_a", "a/b", "a b", "ä", "a\x00", "a" * 256, "a%2Fb"])
def test_what_could_confuse_a_path_or_a_log_cannot_be_chosen(value: str) -> None:
    assert not is_chosen_id(value)


@pytest.mark.parametrize("value", ["a", "0", "A.b-c_d", "a..", "a" * 255])
def test_ordinary_names_can_be_chosen(value: str) -> None:
    assert is_chosen_id(value)
