"""Forms of the few pages for people: what a browser sends when somebody presses a button."""

from __future__ import annotations

from urllib.parse import parse_qs

_MOST_FIELDS = 8


def read_form(body: bytes) -> dict[str, str]:
    """Fields by name, the first of each; nothing of a form that has more fields than any page of ours."""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
