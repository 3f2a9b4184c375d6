"""Filling a template: each `{name}` is replaced literally and once; every other brace is text, and values are never scanned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pointsman.prompts.errors import RenderedTooLong

MAX_RENDERED = 1_000_000

# An identifier right between two braces; so JSON, CSS and code in a prompt stay as they are.
_PLACEHOLDER = re.compile(r"\{([^\W\d]\w*)\}")


class Rendered(NamedTuple):
    """A filled template; `missing` placeholders stand in the text as they were written, `unused` variables have no placeholder."""

    text: str
    missing: list[str]
    unused: list[str]


def placeholders(template: str) -> list[str]:
    """The names to fill, each once, in order of appearance."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(template)))


def render(template: str, variables: Mapping[str, Any]) -> Rendered:
    """Fill the template. Text goes in as it is, any other value as JSON; null counts as not given. Raises RenderedTooLong."""
    names = placeholders(template)
    values = {name: _text(variables[name]) for name in names if variables.get(name) is not None}
    parts = list(_bounded(_parts(template, values)))
    return Rendered(
        text="".join(parts),
        missing=[name for name in names if name not in values],
        unused=[name for name in variables if name not in set(names)],
    )


def _parts(template: str, values: Mapping[str, str]) -> Iterator[str]:
    end = 0
    for match in _PLACEHOLDER.finditer(template):
        yield template[end : match.start()]
        yield values.get(match[1], match[0])
        end = match.end()
    yield template[end:]


def _bounded(parts: Iterator[str]) -> Iterator[str]:
    # Counted before joining: a template of a thousand placeholders times a long value would fill the memory.
    length = 0
    for part in parts:
        length += len(part)
        if length > MAX_RENDERED:
            raise RenderedTooLong(
                f"The filled prompt would have more than {MAX_RENDERED:,} characters.", hint="Send shorter variables or fewer placeholders."
            )
        yield part


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
