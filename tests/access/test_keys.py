from __future__ import annotations

import hashlib
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.keys import digest, hint, is_well_formed, new_key

DIGITS = string.digits + string.ascii_letters


def test_a_key_is_52_characters_that_a_double_click_selects() -> None:
    assert re.fullmatch(r"pm_[0-9A-Za-z]{49}", new_key())


def test_new_keys_are_well_formed_and_never_the_same() -> None:
    made = {new_key() for _ in range(500)}
    assert len(made) == 500
    assert all(is_well_formed(key) for key in made)


@given(st.integers(3, 51), st.sampled_from(DIGITS))
def test_one_wrong_character_anywhere_is_noticed(position: int, wrong: str) -> None:
    key = new_key()
    typo = key[:position] + wrong + key[position + 1 :]
    assert is_well_formed(typo) == (typo == key)


@given(st.integers(3, 50))
def test_two_neighbours_exchanged_are_noticed(position: int) -> None:
    key = new_key()
    typo = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert is_well_formed(typo) == (typo == key)


@given(st.text() | st.text(DIGITS, min_size=49, max_size=49).map("pm_{}".format))
def test_junk_is_not_a_key(junk: str) -> None:
    assert not is_well_formed(junk)


@pytest.mark.parametrize("dressing", [" {}", "{} ", "{}\n", '"{}"', "Bearer {}", "{}{}", "{}\u0000"])
def test_a_key_in_disguise_is_not_a_key(dressing: str) -> None:
    key = new_key()
    assert not is_well_formed(dressing.format(key, key))


def test_digits_of_other_scripts_are_no_digits() -> None:
    key = new_key()
    assert not is_well_formed(key[:3] + "٣" + key[4:])


def test_what_is_stored_is_the_sha_256_of_the_whole_key() -> None:
    key = new_key()
    assert digest(key) == hashlib.sha256(key.encode()).hexdigest()


def test_the_hint_shows_four_characters_of_the_secret() -> None:
    key = new_key()
    assert hint(key) == f"{key[:7]}…"
    assert len(hint(key)) <= 16
