"""Schemas of a document as plain JSON Schema without references, as models are given them and arguments are held to."""

from __future__ import annotations

from typing import Any, cast

from pointsman.kit.json_schema import JsonSchema, SchemaInvalidError
from pointsman.tools.openapi.documents import Document, escaped, refused
from pointsman.tools.openapi.lookup import Lookup

_DEEPEST = 40
_MOST_NODES = 5000
_LONGEST_TEXT = 1000
_KEPT = frozenset((
    "type", "format", "enum", "const", "default", "title", "description", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
    "minProperties", "maxProperties", "required", "dependentRequired",
))  # fmt: skip
_OF_ONE = frozenset((
    "items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems",
))  # fmt: skip
_OF_MANY = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_OF_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))
_RECURSIVE = "Nested as the schema around it; the API checks what is in here."


class Schemas:
    """Reads the schemas of one document. `notes` says what of them could not be kept, each once."""

    def __init__(self, document: Document, lookup: Lookup) -> None:
        self._is_31 = document.is_31
        self._lookup = lookup
        self._nodes = 0
        self.notes: dict[str, None] = {}

    def read(self, node: Any, pointer: str) -> dict[str, Any]:
        """One schema, whole. Raises OpenApiDocumentRefused."""
        self._nodes = 0
        schema = self._schema(node, pointer, ())
        return schema if isinstance(schema, dict) else ({} if schema else {"not": {}})

    def _schema(self, node: Any, pointer: str, within: tuple[str, ...], depth: int = 0) -> dict[str, Any] | bool:
        """`within` are the references that led here: one of them again would go on for ever, so it is cut there."""
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise refused(pointer, "The schema is too large or too deep for a tool's arguments.", hint="Choose another operation.")
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise refused(pointer, "A schema belongs here.")
        found = cast("dict[str, Any]", node)
        if (reference := found.get("$ref")) is None:
            return self._translated(found, pointer, within, depth)
        target, where = self._lookup.target(reference, pointer)
        if where in within:
            self.notes[f"The schema {where} holds itself: within it, whatever is given there is sent as it is."] = None
            return {"description": _RECURSIVE}
        meant = self._schema(target, where, (*within, where), depth + 1)
        # Only in 3.1 may something stand beside a reference, and it says more of the same value.
        beside = {name: value for name, value in found.items() if name != "$ref"} if self._is_31 else {}
        more = self._translated(beside, pointer, within, depth) if beside else {}
        return _both(meant, more)

    def _translated(self, found: dict[str, Any], pointer: str, within: tuple[str, ...], depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        for name, value in found.items():
            place = f"{pointer}/{escaped(name)}"
            if name in _KEPT:
                schema[name] = value[:_LONGEST_TEXT] if name == "description" and isinstance(value, str) else value
            elif name in _OF_ONE:
                schema[name] = self._schema(value, place, within, depth + 1)
            elif name in _OF_MANY:
                schema[name] = [self._schema(item, f"{place}/{i}", within, depth + 1) for i, item in enumerate(_list(value, place))]
            elif name in _OF_NAMED:
                named = _object(value, place)
                schema[name] = {key: self._schema(item, f"{place}/{escaped(key)}", within, depth + 1) for key, item in named.items()}
            elif name == "$dynamicRef":
                raise refused(place, "References of this kind are not followed.", hint="Use $ref to a schema of the document.")
        self._without_what_only_answers_have(schema, found, pointer)
        self._without_unusable_patterns(schema, pointer)
        return schema if self._is_31 else _from_30(schema, found)

    def _without_what_only_answers_have(self, schema: dict[str, Any], found: dict[str, Any], pointer: str) -> None:
        """Properties that are `readOnly` are not sent, and not required of who sends."""
        properties: Any = found.get("properties")
        if not isinstance(properties, dict):
            return
        named = cast("dict[str, Any]", properties)
        hidden = {key for key, node in named.items() if self._is_read_only(node, f"{pointer}/properties/{escaped(key)}")}
        if hidden:
            schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in hidden}
            schema["required"] = [key for key in _list(schema.get("required", []), f"{pointer}/required") if key not in hidden]

    def _is_read_only(self, node: Any, pointer: str) -> bool:
        return isinstance(node, dict) and self._lookup.object_at(cast("Any", node), pointer)[0].get("readOnly") is True

    def _without_unusable_patterns(self, schema: dict[str, Any], pointer: str) -> None:
        """A pattern that our linear-time engine has no way to match is left to the API."""
        for name in [name for name in schema.get("patternProperties", {}) if not _is_usable(name)]:
            del schema["patternProperties"][name]
            self.notes[f"The pattern of names at {pointer} is not checked before sending."] = None
        if "pattern" in schema and not _is_usable(schema["pattern"]):
            del schema["pattern"]
            self.notes[f"The pattern at {pointer} is not checked before sending."] = None


def _both(meant: dict[str, Any] | bool, more: dict[str, Any]) -> dict[str, Any] | bool:
    if isinstance(meant, bool) or not more:
        return meant if not more else {"allOf": [meant, more]}
    words = {name: more[name] for name in ("title", "description", "default") if name in more}
    rules = {name: value for name, value in more.items() if name not in words}
    return {**meant, **words} | ({"allOf": [*meant.get("allOf", []), rules]} if rules else {})


def _from_30(schema: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI 3.0 says in words of its own."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := schema.get(exclusive), bool):
            del schema[exclusive]
            if flag and bound in schema:
                schema[exclusive] = schema.pop(bound)
    if found.get("nullable") is True and isinstance(kind := schema.get("type"), str):
        schema["type"] = [kind, "null"]
        if isinstance(values := schema.get("enum"), list) and None not in values:
            schema["enum"] = [*cast("list[Any]", values), None]
    return schema


def _is_usable(pattern: Any) -> bool:
    try:
        JsonSchema({"pattern": pattern})
    except SchemaInvalidError:
        return False
    return True


def _list(value: Any, pointer: str) -> list[Any]:
    if not isinstance(value, list):
        raise refused(pointer, "A list belongs here.")
    return cast("list[Any]", value)


def _object(value: Any, pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused(pointer, "An object belongs here.")
    return cast("dict[str, Any]", value)
