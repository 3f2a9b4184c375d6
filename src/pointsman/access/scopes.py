"""The scopes a key may hold: which there are, what covers what, and which one a typo meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pointsman.kit.principal import ADMIN

_NOUNS = (
    "agents",
    "approvals",
    "audit",
    "breakers",
    "budgets",
    "engines",
    "evaluations",
    "jobs",
    "keys",
    "knowledge",
    "memories",
    "models",
    "prompts",
    "runs",
    "schedules",
    "sessions",
    "skills",
    "targets",
    "teams",
    "tokens",
    "tools",
    "usage",
    "webhooks",
    "workers",
)
_VERBS = ("agents:run", "teams:run", "approvals:decide", "tokens:use", "tokens:reveal", "runner:use")

SCOPES = (ADMIN, *sorted([*(f"{noun}:{access}" for noun in _NOUNS for access in ("read", "write")), *_VERBS]))
_known = frozenset(SCOPES)


def known_scope(scope: str) -> str:
    """The scope itself; a ValueError that suggests the closest one when there is no such scope."""
    if scope in _known:
        return scope
    close = difflib.get_close_matches(scope, SCOPES, n=1)
    suggestion = f"did you mean {close[0]!r}?" if close else "scopes look like 'agents:read', 'agents:run' or 'admin'."
    raise ValueError(f"There is no scope {scope!r}; {suggestion}")


def beyond(asked: Iterable[str], held: Iterable[str]) -> list[str]:
    """The scopes that were asked for and are not covered by those held, sorted; `admin` covers all."""
    holding = frozenset(held)
    return [] if ADMIN in holding else sorted(set(asked) - holding)
