"""Fills `{name}` in what an operator wrote: once and literally, so that what a user says is never a placeholder itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """The text; braces around any other name stay as they are."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def filled_all(template: Any, values: Mapping[str, str]) -> Any:
    """The same for each text within JSON."""
    if isinstance(template, str):
        return filled(template, values)
    if isinstance(template, dict):
        return {name: filled_all(inner, values) for name, inner in cast("dict[str, Any]", template).items()}
    if isinstance(template, list):
        return [filled_all(inner, values) for inner in cast("list[Any]", template)]
    return template


def found_at(value: Any, place: str) -> Any:
    """What stands at a place such as `message.content.*.text` within JSON; None where nothing does, a list where `*` leads through one."""
    found = [value]
    many = False
    for step in place.split("."):
        if step == "*":
            many = True
            found = [inner for one in found if isinstance(one, list) for inner in cast("list[Any]", one)]
        else:
            found = [inner for one in found if (inner := _step(one, step)) is not None]
    return found if many else next(iter(found), None)


def text_at(value: Any, place: str) -> str:
    """The text at a place, those of a list joined; empty where there is none."""
    found = found_at(value, place)
    if isinstance(found, list):
        return "".join(str(one) for one in cast("list[Any]", found) if isinstance(one, str | int | float))
    return "" if found is None or isinstance(found, dict) else str(found)


def number_at(value: Any, place: str) -> int:
    """The whole number at a place, those of a list together; 0 where there is none."""
    found = found_at(value, place)
    numbers = cast("list[Any]", found) if isinstance(found, list) else [found]
    return sum(int(one) for one in numbers if isinstance(one, int | float) and not isinstance(one, bool) and one >= 0)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(step)
    if isinstance(value, list) and step.isdigit():
        items = cast("list[Any]", value)
        return items[int(step)] if int(step) < len(items) else None
    return None
