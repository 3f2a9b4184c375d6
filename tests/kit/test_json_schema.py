from __future__ import annotations

import socket
from typing import Any

import pytest

from pointsman.kit.json_schema import JsonSchema, SchemaInvalidError


def test_what_is_wrong_is_said_with_its_place() -> None:
    schema = JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}, "list": {"items": {"enum": ["a"]}}}, "required": ["m"]})
    found = dict(schema.errors({"n": "x", "list": ["a", "b"]}))
    assert set(found) == {"", "/n", "/list/1"}
    assert found["/n"] == '"x" is not of type "integer"'
    assert schema.errors({"n": 1, "list": ["a"], "m": None}) == ()


def test_a_place_is_a_json_pointer() -> None:
    schema = JsonSchema({"properties": {"a/b~c": {"type": "integer"}}})
    assert [error.pointer for error in schema.errors({"a/b~c": "x"})] == ["/a~1b~0c"]


def test_a_message_does_not_repeat_a_megabyte_of_the_instance() -> None:
    [error] = JsonSchema({"type": "integer"}).errors("x" * 1_000_000)
    assert len(error.message) < 400
    assert error.message.endswith('is not of type "integer"')


def test_no_more_errors_are_listed_than_somebody_reads() -> None:
    schema = JsonSchema({"items": {"type": "integer"}})
    assert len(schema.errors(["x"] * 1000)) == 10
    assert len(schema.errors(["x"] * 1000, most=3)) == 3


@pytest.mark.parametrize("key", ["$ref", "$dynamicRef", "$schema"])
def test_a_reference_to_elsewhere_is_refused_and_nothing_is_fetched(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        with pytest.raises(SchemaInvalidError):
            JsonSchema({key: f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"})
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_reference_to_a_file_is_refused() -> None:
    with pytest.raises(SchemaInvalidError):
        JsonSchema({"$ref": "file:///etc/passwd"})


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(.*a){12}$", "^([a-z]+)*[0-9]$"])
@pytest.mark.timeout(10)
def test_a_pattern_that_ruins_a_backtracking_engine_ends_at_once(pattern: str) -> None:
    assert JsonSchema({"pattern": pattern}).errors("a" * 100_000 + "!")


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", "a{1000}{1000}{1000}"])
def test_a_pattern_that_the_engine_does_not_take_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaInvalidError):
        JsonSchema({"pattern": pattern})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_schema_that_refers_to_itself_comes_to_an_end(schema: dict[str, Any]) -> None:
    JsonSchema(schema).errors({"a": 1})


def test_a_recursive_schema_follows_a_deep_instance() -> None:
    tree = JsonSchema({"type": "object", "properties": {"child": {"$ref": "#"}}})
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"child": deep}
    assert tree.errors(deep) == ()
    assert [error.pointer for error in tree.errors({"child": {"child": 1}})] == ["/child/child"]


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"properties": []}, {"required": "a"}, {"$ref": "#/$defs/absent"}])
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaInvalidError):
        JsonSchema(schema)


def test_formats_are_checked() -> None:
    assert JsonSchema({"format": "email"}).errors("nobody")
    assert not JsonSchema({"format": "date-time"}).errors("2026-01-01T00:00:00Z")
