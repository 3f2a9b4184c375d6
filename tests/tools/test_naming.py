from __future__ import annotations

import re

import pytest

from pointsman.tools.naming import model_name


def test_a_name_that_fits_is_the_source_and_the_tool() -> None:
    assert model_name("github", "create_issue") == "github__create_issue"


@pytest.mark.parametrize(
    ("source", "tool"), [("my.server", "a"), ("a", "repo.list"), ("a", "x" * 200), ("b" * 255, "c"), ("a", "größe"), ("a", "")]
)
def test_a_name_that_does_not_fit_is_made_to_and_stays_its_own(source: str, tool: str) -> None:
    name = model_name(source, tool)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert name == model_name(source, tool)
    assert name != model_name(source, f"{tool}!")


def test_what_would_look_alike_does_not_become_one() -> None:
    assert len({model_name("a", "b.c"), model_name("a", "b_c"), model_name("a", "b-c"), model_name("a", "b c")}) == 4
