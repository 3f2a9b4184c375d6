"""The parameters of an operation as arguments of a tool."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pointsman.tools.openapi.documents import refused
from pointsman.tools.openapi.json_schemas import Schemas
from pointsman.tools.openapi.lookup import Lookup
from pointsman.tools.openapi.rows import Parameter, Where
from pointsman.tools.references import is_settable

_STYLES: dict[str, str] = {"path": "simple", "query": "form", "header": "simple"}
_LONGEST_ARGUMENT = 64
_MOST = 100
_NOT_TAKEN = re.compile(r"[^A-Za-z0-9_.-]")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"/[^\x00-\x20\x7f\\?#]*")
# What OpenAPI says to leave to others, and what the gateway sends itself.
_LEFT_OUT = frozenset(("accept", "content-type", "authorization", "cookie", "idempotency-key"))


@dataclass
class Arguments:
    """The arguments of one tool as they are found. `notes` are sentences about what was left out."""

    parameters: list[Parameter] = field(default_factory=list[Parameter])
    notes: list[str] = field(default_factory=list[str])
    _properties: dict[str, Any] = field(default_factory=dict[str, Any])
    _required: list[str] = field(default_factory=list[str])

    def add(self, argument: str, schema: dict[str, Any], description: Any, *, required: bool) -> None:
        """One more argument."""
        told = {"description": description[:1000]} if isinstance(description, str) and description.strip() else {}
        self._properties[argument] = schema | told
        if required:
            self._required.append(argument)

    def name_for(self, name: str, where: Where) -> str:
        """A name that no other argument has, made of what every provider takes; `body` is never a parameter's."""
        plain = _NOT_TAKEN.sub("_", name)[:_LONGEST_ARGUMENT] or where
        candidates = [plain, *(f"{where}{number}_{plain}"[:_LONGEST_ARGUMENT] for number in ("", *range(2, _MOST + 2)))]
        return next(one for one in candidates if one not in self._properties and one != "body")

    def schema(self) -> dict[str, Any]:
        """The JSON schema of them all."""
        return {"type": "object", "properties": self._properties, "required": self._required, "additionalProperties": False}


def read_parameters(
    lookup: Lookup, schemas: Schemas, holders: Sequence[tuple[dict[str, Any], str]], path: str, own_headers: frozenset[str]
) -> Arguments:
    """The parameters of a path item and its operation, whose own come last and count. Raises OpenApiDocumentRefused."""
    found: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
    for holder, pointer in holders:
        listed: Any = holder.get("parameters", [])
        if not isinstance(listed, list) or len(cast("list[Any]", listed)) > _MOST:
            raise refused(f"{pointer}/parameters", f"A list of at most {_MOST} parameters belongs here.")
        for index, node in enumerate(cast("list[Any]", listed)):
            parameter, where = lookup.object_at(node, f"{pointer}/parameters/{index}")
            found[str(parameter.get("name")), str(parameter.get("in"))] = (parameter, where)
    arguments = Arguments()
    for (name, where), (parameter, pointer) in found.items():
        _read(arguments, schemas, name, where, parameter, pointer, own_headers)
    _check_path(path, {parameter.name for parameter in arguments.parameters if parameter.where == "path"}, holders[0][1])
    return arguments


def _read(
    arguments: Arguments,
    schemas: Schemas,
    name: str,
    where: str,
    parameter: dict[str, Any],
    pointer: str,
    own_headers: frozenset[str],
) -> None:
    if where == "header" and name.lower() in own_headers | _LEFT_OUT:
        return
    required = where == "path" or parameter.get("required") is True
    if wrong := _wrong(name, where, parameter):
        if required:
            raise refused(pointer, f"The parameter {name[:100]} is required, and {wrong}.")
        arguments.notes.append(f"the optional parameter {name[:100]} is left out: it {wrong}.")
        return
    style = _STYLES[where]
    place = cast("Where", where)
    argument = arguments.name_for(name, place)
    arguments.parameters.append(Parameter(argument, name, place, parameter.get("explode", style == "form") is True))
    schema = schemas.read(parameter.get("schema", {}), f"{pointer}/schema")
    arguments.add(argument, schema, parameter.get("description"), required=required)


def _wrong(name: str, where: str, parameter: dict[str, Any]) -> str:
    """Why a parameter cannot be sent, as the rest of a sentence; empty where it can."""
    if where not in _STYLES:
        return f"stands in {where[:20]}, where none is sent"
    if "content" in parameter:
        return "is encoded by a media type of its own, which is not done here"
    if (style := parameter.get("style", _STYLES[where])) != _STYLES[where]:
        return f"has the style {str(style)[:20]}; only {_STYLES[where]} is sent in {where}"
    if where == "header" and not is_settable(name):
        return "is a header that the gateway sets, or no name of one"
    return ""


def _check_path(path: str, parameters: set[str], pointer: str) -> None:
    names = _TEMPLATE.findall(path)
    rest = _TEMPLATE.sub("x", path)
    if not _PATH.fullmatch(rest) or "{" in rest or "}" in rest or any(step in {".", ".."} for step in path.split("/")):
        raise refused(pointer, "The path has a query, blanks, stray braces or steps of dots.")
    if missing := [name for name in names if name not in parameters]:
        raise refused(pointer, f"The path's {{{missing[0]}}} is described by no parameter.")
    if unplaced := parameters - set(names):
        raise refused(pointer, f"The path has no place for its parameter {min(unplaced)}.")
