"""What an API answered, in the words that a model is told: text within bounds, anything else by its name."""

from __future__ import annotations

import http
import re
from collections.abc import Callable

from pointsman.kit.egress import Answer, is_unpacked
from pointsman.tools.texts import cut, decoded, is_text, is_utf8, plain
from pointsman.turns.ports import ToolOutcome

KEPT = 262_144
"""Bytes of a body that are looked at: whatever characters these are, they are more than are told."""
_LONGEST_OF_ERROR = 4_000
_CHARSET = re.compile(r"charset=\"?([A-Za-z0-9_.:-]{1,40})")


def tell(answer: Answer, scrub: Callable[[str], str]) -> ToolOutcome:
    """The answer; `scrub` takes out what was sent in confidence. A status that is no success is an error that says so."""
    said = _said(answer, scrub)
    status = _status(answer.status)
    if 200 <= answer.status < 300:
        if said is None:
            return ToolOutcome(f"The API answered {status} without a body.")
        return ToolOutcome(said)
    if 300 <= answer.status < 400 and "location" in answer.headers:
        location = scrub(plain(answer.headers["location"]))[:500]
        return ToolOutcome(f"The API answered {status}: it refers to {location}, which is not followed.", is_error=True)
    if said is None:
        return ToolOutcome(f"The API answered {status} without a body.", is_error=True)
    return ToolOutcome(f"The API answered {status}: {cut(said, _LONGEST_OF_ERROR)}", is_error=True)


def _said(answer: Answer, scrub: Callable[[str], str]) -> str | None:
    """The body in words; None without one."""
    if not answer.body:
        return None
    content_type = answer.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if not is_unpacked(answer.headers.get("content-encoding", "")):
        return "(The body came in a content coding that was not asked for: it is not shown.)"
    if is_text(media_type) or (not media_type and is_utf8(answer.body)):
        charset = _CHARSET.search(content_type.lower())
        return cut(scrub(decoded(answer.body, charset[1] if charset else None)))
    size = f"{len(answer.body)} bytes" if len(answer.body) < KEPT else f"more than {KEPT} bytes"
    return f"(The body is {plain(media_type)[:100] or 'of no stated type'}, {size}, and no text: it is not shown.)"


def _status(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
