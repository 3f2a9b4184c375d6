"""Registrations of OpenAPI tools, and what was read out of their documents when they were written."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record

Where = Literal["path", "query", "header"]


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A parameter of an operation. `argument` is what it is called among the tool's arguments, `explode` as in OpenAPI."""

    argument: str
    name: str
    where: Where
    explode: bool = False


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chosen operation as a tool: `tool` is its name to a model, `schema` the JSON schema of its arguments.

    `path` is the template below the server. With `media` it takes a JSON body of that type, as the argument `body`.
    """

    operation: str
    tool: str
    description: str
    method: str
    path: str
    schema: dict[str, Any]
    parameters: tuple[Parameter, ...] = ()
    media: str | None = None


class Compiled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a registration came to: where it calls, its tools, and what of the document could not be kept, in sentences."""

    server_url: str
    operations: tuple[Operation, ...]
    notes: tuple[str, ...] = ()


class OpenApiTools(msgspec.Struct, frozen=True):
    """A registration; `server_url` is the given one, None for the document's. The document itself is read where it is needed."""

    id: str
    name: str
    sha256: str
    server_url: str | None
    operations: tuple[str, ...]
    headers: dict[str, str]
    timeout_seconds: int
    compiled: Compiled
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> OpenApiTools:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__}
        own: dict[str, Any] = {
            "operations": tuple(row["operations"]),
            "headers": json_text.decode(row["headers"]),
            "compiled": _compiled.decode(row["compiled"]),
        }
        return cls(**{**columns, **own})


_compiled = msgspec.json.Decoder(Compiled)
