"""How the environment's texts become values, and what every section of the settings is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_settings import NoDecode

PREFIX = "POINTSMAN_"
_LONGEST = timedelta(days=7)
_SHORTEST_KEPT = timedelta(days=1)  # answers to an Idempotency-Key are replayed from runs and their events for a day
_LONGEST_KEPT = timedelta(days=36_500)


def _seconds(value: object) -> object:
    """A plain number is seconds; everything else is pydantic's to read (ISO 8601, HH:MM:SS)."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _sensible(value: timedelta) -> timedelta:
    if not timedelta() < value <= _LONGEST:
        raise ValueError(f"A duration must be above 0 and at most {_LONGEST.days} days.")
    return value


def _time_kept(value: timedelta) -> timedelta:
    if value and not _SHORTEST_KEPT <= value <= _LONGEST_KEPT:
        raise ValueError(f"Rows are kept for 1 to {_LONGEST_KEPT.days} days; 0 keeps them for ever.")
    return value


def _json_list(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('This is not a JSON array, such as ["one", "two"].') from None


def _json_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('This is not a JSON object, such as {"NAME": "value"}.') from None


Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_sensible)]
Kept = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_time_kept)]
# Without NoDecode a text that is not JSON would fail before it can be said which variable holds it.
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_json_list)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_json_list)]
NamedSecrets = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)]


class Section(BaseModel):
    """Settings that belong together; frozen, and nothing in them that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
