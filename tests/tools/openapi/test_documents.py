from __future__ import annotations

import json
import math
from typing import Any

import pytest
from tests.tools.openapi.pets import PETS, document

from pointsman.tools.openapi.documents import LARGEST, read_document, stored_document
from pointsman.tools.openapi.errors import OpenApiDocumentRefused


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"x": value}
    return value


def test_json_yaml_and_an_object_are_the_same_document() -> None:
    from_yaml = read_document(PETS)
    assert from_yaml.root["paths"]["/pets"]["get"]["responses"]["200"] == {"description": "Pets"}
    assert read_document(document()).sha256 == from_yaml.sha256
    assert read_document(json.dumps(from_yaml.root)).sha256 == from_yaml.sha256
    assert read_document("\ufeff" + json.dumps(from_yaml.root)).sha256 == from_yaml.sha256
    assert stored_document(from_yaml.text, from_yaml.sha256).root == from_yaml.root


def test_what_yaml_reads_as_something_else_stays_text() -> None:
    read = read_document("openapi: 3.1.0\ninfo: {title: A, x-since: 2024-01-31, 404: yes-or-no}\n")
    assert read.root["info"] == {"title": "A", "x-since": "2024-01-31", "404": "yes-or-no"}
    assert read.is_31


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "no object"),
        ("null", "no object"),
        ("[]", "no object"),
        ("just text", "no object"),
        ("{", "no JSON"),
        ("a: b: c", "neither JSON nor YAML"),
        ("a: [1", "neither JSON nor YAML"),
        ("\x00", "neither JSON nor YAML"),
        ("!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
        ("openapi: 3.0.0\na: &x [1]\nb: *x\n", "aliases"),
        ("a: &a [x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)), "aliases"),
        ("[" * 5000, "levels deep"),
        ("{" * 5000, "JSON"),
        ('{"a":' * 5000, "levels deep"),
        ('{"openapi": "3.0.0", "x": ' + "[" * 200 + "]" * 200 + "}", "levels deep"),
        ("x: " + "y" * LARGEST, "larger"),
        ("x: " + "y" * (LARGEST // 2), "Convert it to JSON"),
        ('{"openapi": "3.0.0", "x": [' + "1," * 500_000 + "1]}", "values"),
        ('{"openapi": "3.0.0", "x": 1e999}', "number"),
        ("openapi: 3.0.0\nx: .nan\n", "number"),
        ('{"openapi": "3.0.0", "x": 123456789012345678901234567890}', "number"),
        ('{"openapi": "3.0.0", "x": "\\u0000"}', "NUL"),
        ('{"openapi": "3.0.0", "x\\u0000": 1}', "NUL"),
        ('{"openapi": "3.0.0", "x": "\\ud83d"}', "surrogate"),
        ("openapi: 3.0.0\non: 1\n", "quotation marks"),
        ("openapi: 3.0.0\n? [a, b]\n: 1\n", "YAML"),
        ("openapi: 3.0.0\nx: !!binary aGVsbG8=\n", "bytes"),
        ("openapi: 3.0\n", "quotation marks"),
        ('{"openapi": "2.0"}', "3.0.x and 3.1.x"),
        ('{"openapi": "3.2.0"}', "3.0.x and 3.1.x"),
        ('{"openapi": ["3.0.0"]}', "3.0.x and 3.1.x"),
        ('{"info": {}}', "missing"),
        ('{"swagger": "2.0"}', "Convert"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_document_is_refused_in_words(given: str, says: str) -> None:
    with pytest.raises(OpenApiDocumentRefused) as caught:
        read_document(given)
    assert says in f"{caught.value.detail} {caught.value.hint}"
    assert caught.value.errors[0].pointer.startswith("/document")
    assert len(caught.value.detail) < 500


@pytest.mark.parametrize("value", [math.inf, nested(200), {True: 3}, {"x": {7}}, "\ud800"])
def test_an_object_is_held_to_the_same(value: Any) -> None:
    with pytest.raises(OpenApiDocumentRefused):
        read_document({"openapi": "3.1.0", "x": value})
