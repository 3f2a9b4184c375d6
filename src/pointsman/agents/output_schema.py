"""Whether an `output_schema` is a JSON Schema that a model and the gateway can work with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
_ONE = (
    "items",
    "not",
    "contains",
    "additionalProperties",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_DEEPEST = 32


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself. Raises ValueError that says where it is wrong, by JSON pointer within the schema."""
    if schema.get("type") != "object":
        raise ValueError("The schema must be of an object: its type must be 'object'.")
    for fault in _faults(schema, schema, "", 0):
        raise ValueError(fault)
    return schema


def _faults(schema: Any, root: dict[str, Any], where: str, depth: int) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"{where}: a schema must be an object or a boolean."
        return
    if depth > _DEEPEST:
        yield f"{where}: schemas may be nested at most {_DEEPEST} deep."
        return
    keywords = cast("dict[str, Any]", schema)
    yield from (f"{where}/{name}: {fault}" for name, fault in _own_faults(keywords, root))
    for name, inner in _subschemas(keywords):
        yield from _faults(inner, root, f"{where}/{name}", depth + 1)


def _own_faults(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "type" in schema and not _is_type(schema["type"]):
        yield "type", f"it must be one or several of {', '.join(sorted(_TYPES))}."
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield "enum", "it must be a list of at least one value."
    if "required" in schema and not _is_names(schema["required"]):
        yield "required", "it must be a list of distinct property names."
    if "pattern" in schema and not _is_pattern(schema["pattern"]):
        yield "pattern", "it must be a regular expression."
    if "$ref" in schema and not _resolves(schema["$ref"], root):
        yield "$ref", "it must point into this schema, such as #/$defs/Name, at something that exists."
    yield from _shape_faults(schema)


def _shape_faults(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _NAMED:
        if name in schema and not isinstance(schema[name], dict):
            yield name, "it must be an object of schemas."
    for name in _MANY:
        if name in schema and not (isinstance(schema[name], list) and schema[name]):
            yield name, "it must be a list of at least one schema."
    for name in _COUNTS:
        if name in schema and not _is_count(schema[name]):
            yield name, "it must be a whole number from 0."
    for name in _NUMBERS:
        if name in schema and not _is_number(schema[name]):
            yield name, "it must be a number."


def _subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, schema[name]) for name in _ONE if name in schema)
    for name in _MANY:
        if isinstance(schema.get(name), list):
            yield from ((f"{name}/{index}", inner) for index, inner in enumerate(schema[name]))
    for name in _NAMED:
        if isinstance(schema.get(name), dict):
            yield from ((f"{name}/{key}", inner) for key, inner in schema[name].items())


def _is_type(value: Any) -> bool:
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(item, str) and item in _TYPES for item in values)


def _is_names(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    names = cast("list[Any]", value)
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and float(value).is_integer()


def _resolves(reference: Any, root: dict[str, Any]) -> bool:
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    place: Any = root
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or key not in place:
            return False
        place = cast("dict[str, Any]", place)[key]
    return isinstance(place, dict | bool)
