"""What every body and answer on the wire shares: unknown fields are refused, times are RFC 3339 in UTC."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.config import JsonDict

from pointsman.kit.clock import rfc3339

# For `json_schema_extra`, where a validator refuses what consists of spaces.
# Python counts the separators among the control characters as spaces, JSON Schema does not.
NOT_BLANK: JsonDict = {"pattern": r"[^\s\x1c-\x1f\x85]"}
Moment = Annotated[dt.datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


def _written(value: object) -> object:
    # pydantic reads a number as seconds since 1970, and a day as its midnight; who sent either meant something else.
    if isinstance(value, dt.datetime) or (isinstance(value, str) and _RFC3339.match(value)):
        return value
    raise ValueError("This is no moment with its zone, such as 2026-01-31T12:00:00Z.")


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
GivenMoment = Annotated[AwareDatetime, BeforeValidator(_written)]

MAX_VERSION = 2_147_483_647


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("It must not be blank.")
    return value


def _distinct(tags: list[str]) -> list[str]:
    if len(set(tags)) < len(tags):
        raise ValueError("A tag is listed twice.")
    return tags


Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_not_blank), Field(json_schema_extra=NOT_BLANK)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_not_blank), Field(json_schema_extra=NOT_BLANK)]
Tags = Annotated[list[Tag], Field(max_length=50, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)]
Version = Annotated[int, Field(ge=1, le=MAX_VERSION, strict=True)]


class Body(BaseModel):
    """A request body. An unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Read(BaseModel):
    """An answer, made from a row's attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
