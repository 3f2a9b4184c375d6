from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.prompts.errors import RenderedTooLong
from pointsman.prompts.template import MAX_RENDERED, placeholders, render

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
BRACELESS = st.text(alphabet=st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=20)


def test_names_come_once_in_order_of_appearance() -> None:
    assert placeholders("{b} {a} {b} {a_1}") == ["b", "a", "a_1"]


@pytest.mark.parametrize(
    "literal",
    [
        '{"answer": {"is": 42}}',
        "{ name }",
        "{}",
        "{1}",
        "{a-b}",
        "{a.b}",
        "{a[0]}",
        "{a!r:>10}",
        "{%s} ${HOME {{",
        "for (x) { return }",
        "\\{",
        "{na\nme}",
    ],
)
def test_every_other_brace_is_text(literal: str) -> None:
    assert render(literal, {"name": "x", "a": "x", "b": "x"}).text == literal


def test_names_may_be_in_any_script() -> None:
    assert render("Bonjour {prénom}", {"prénom": "Zoé"}).text == "Bonjour Zoé"


def test_a_value_is_never_scanned_again() -> None:
    assert render("{a} {b}", {"a": "{b}", "b": "{a}"}).text == "{b} {a}"


def test_doubled_braces_are_no_escape() -> None:
    assert render("{{name}}", {"name": "Ada"}).text == "{Ada}"


def test_missing_placeholders_stay_and_unused_variables_are_told() -> None:
    filled = render("Hi {name}, {city}. {name}!", {"city": "Ulm", "age": 3})
    assert filled == ("Hi {name}, Ulm. {name}!", ["name"], ["age"])


def test_null_counts_as_not_given() -> None:
    assert render("{a}", {"a": None}) == ("{a}", ["a"], [])


def test_other_values_go_in_as_json() -> None:
    values = {"n": 1.5, "yes": True, "items": ["ä", 2]}
    assert render("{n} {yes} {items}", values).text == '1.5 true ["ä", 2]'


def test_a_text_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(RenderedTooLong):
        render("{a}" * 60_000, {"a": "x" * 1_000_000})
    assert len(render("{a}" * 10, {"a": "x" * (MAX_RENDERED // 10)}).text) == MAX_RENDERED


@given(st.lists(st.tuples(BRACELESS, NAMES)), BRACELESS, st.dictionaries(NAMES, st.text()))
def test_filling_equals_joining_the_pieces(pieces: list[tuple[str, str]], tail: str, variables: dict[str, str]) -> None:
    template = "".join(f"{text}{{{name}}}" for text, name in pieces) + tail
    filled = render(template, variables)
    assert filled.text == "".join(text + variables.get(name, f"{{{name}}}") for text, name in pieces) + tail
    names = {name for _, name in pieces}
    assert set(filled.missing) == names - variables.keys()
    assert set(filled.unused) == variables.keys() - names


@given(st.text())
def test_without_variables_any_text_stays_as_it_is(template: str) -> None:
    assert render(template, {}).text == template


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_json_in_a_prompt_survives(value: object) -> None:
    text = json.dumps({"k": value}, indent=1)
    assert render(text, {"k": "v"}).text == text
