"""What every body and answer on the wire shares: unknown fields are refused, times are RFC 3339 in UTC."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from pointsman.kit.clock import rfc3339

Moment = Annotated[dt.datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class Body(BaseModel):
    """A request body. An unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Read(BaseModel):
    """An answer, made from a row's attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
