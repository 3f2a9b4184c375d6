from __future__ import annotations

from typing import Any

import pytest

from pointsman.agents.output_schema import checked_schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "title": "T", "properties": {}, "additionalProperties": False},
        {
            "type": "object",
            "properties": {
                "node": {"$ref": "#/$defs/Node"},
                "kind": {"enum": ["a", None]},
                "n": {"type": ["integer", "null"], "minimum": -1.5},
            },
            "required": ["node"],
            "$defs": {"Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}},
        },
        {"type": "object", "properties": {"type": {"type": "string"}, "required": {"type": "boolean"}, "enum": True}},
        {"type": "object", "properties": {"a/b~c": {"type": "string"}, "x": {"$ref": "#/properties/a~1b~0c"}}},
        {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string", "pattern": "^a+$"}, "minItems": 1}}},
    ],
)
def test_a_schema_is_taken(schema: dict[str, Any]) -> None:
    assert checked_schema(schema) is schema


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ({"properties": []}, "/properties"),
        ({"properties": {"a": {"type": "strng"}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": []}}}, "/properties/a/type"),
        ({"properties": {"a": "string"}}, "/properties/a"),
        ({"properties": {"a": {"enum": []}}}, "/properties/a/enum"),
        ({"required": "a"}, "/required"),
        ({"required": ["a", "a"]}, "/required"),
        ({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"anyOf": []}}}, "/properties/a/anyOf"),
        ({"properties": {"a": {"items": 3}}}, "/properties/a/items"),
        ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength"),
        ({"properties": {"a": {"maxItems": 1e400}}}, "/properties/a/maxItems"),
        ({"properties": {"a": {"maximum": True}}}, "/properties/a/maximum"),
        ({"properties": {"a": {"$ref": "#/$defs/Missing"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"$ref": "https://example.com/schema"}}}, "/properties/a/$ref"),
    ],
)
def test_a_fault_is_refused_with_its_place(fault: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match="^" + where.replace("$", r"\$") + ": "):
        checked_schema({"type": "object"} | fault)


def test_the_root_must_be_an_object() -> None:
    with pytest.raises(ValueError, match="of an object"):
        checked_schema({"anyOf": [{"type": "object"}]})


def test_the_depth_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ValueError, match="deep"):
        checked_schema(schema)
