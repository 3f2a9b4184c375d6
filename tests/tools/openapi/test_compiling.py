from __future__ import annotations

from typing import Any

import pytest
from tests.tools.openapi.pets import compiled, document, operation, with_operation

from pointsman.kit.json_schema import JsonSchema
from pointsman.tools.openapi.errors import OpenApiDocumentRefused

TEXT = {"schema": {"type": "string"}}
MUST = {"required": True}


def with_body(schema: Any, *, version: str = "3.0.0", schemas: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    told = {"requestBody": {"content": {"application/json": {"schema": schema}}, **body}}
    return with_operation(told, method="post", version=version, components={"schemas": schemas or {}})


def body_of(given: dict[str, Any]) -> dict[str, Any]:
    return operation(given).schema["properties"]["body"]


def refusal(given: dict[str, Any], *chosen: str, **options: Any) -> OpenApiDocumentRefused:
    with pytest.raises(OpenApiDocumentRefused) as caught:
        compiled(given, *chosen, **options)
    assert caught.value.errors
    return caught.value


def test_chosen_operations_become_tools_with_one_flat_schema_each() -> None:
    tools = compiled(document(), "listPets", "addPet", "getPet", "PATCH /pets/{petId}")
    assert tools.server_url == "https://api.example.com/v1"
    names = [one.tool for one in tools.operations]
    assert names[:3] == ["pets__listPets", "pets__addPet", "pets__getPet"]
    assert names[3].startswith("pets__PATCH__pets__petId_")
    listed, added, got, patched = tools.operations
    assert (listed.method, listed.path, listed.description) == ("GET", "/pets", "All pets\nBy name.")
    assert list(listed.schema["properties"]) == ["tag__", "kinds", "where", "limit", "X-Trace"]
    assert listed.schema["properties"]["limit"] == {"type": "integer", "maximum": 100, "description": "How many."}
    assert added.schema["required"] == ["body"]
    assert added.schema["properties"]["body"]["properties"]["owner"]["properties"]["email"] == {"type": "string", "format": "email"}
    assert (got.schema["required"], got.description) == (["petId"], "GET /pets/{petId}")
    assert (patched.media, patched.schema["required"]) == ("application/merge-patch+json", ["petId"])
    for one in tools.operations:
        assert JsonSchema(one.schema).errors({"unknown": 1})


def test_what_only_answers_have_is_not_asked_for_and_30s_own_words_are_translated() -> None:
    pet = body_of(with_body({"$ref": "#/components/schemas/Pet"}, schemas=document()["components"]["schemas"]))
    assert pet["required"] == ["name"]
    assert "id" not in pet["properties"]
    assert pet["properties"]["name"]["type"] == ["string", "null"]
    assert pet["properties"]["age"] == {"type": "integer", "exclusiveMinimum": 0}
    assert body_of(with_body({"type": "string", "nullable": True, "enum": ["a"]}))["enum"] == ["a", None]


def test_a_schema_that_holds_itself_is_cut_where_it_begins_anew_and_that_is_noted() -> None:
    schemas = {"Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}}}
    tools = compiled(with_body({"$ref": "#/components/schemas/Tree"}, schemas=schemas))
    schema = tools.operations[0].schema
    assert not JsonSchema(schema).errors({"body": {"children": [{"children": [{"anything": 1}]}]}})
    assert JsonSchema(schema).errors({"body": {"children": "none"}})
    assert "/components/schemas/Tree" in tools.notes[0]


def test_beside_a_reference_31_may_say_more_and_30_may_not() -> None:
    schemas = {"Name": {"type": "string", "description": "A name."}}
    beside = {"$ref": "#/components/schemas/Name", "description": "Its name.", "maxLength": 3}
    new = body_of(with_body(beside, version="3.1.0", schemas=schemas))
    assert (new["description"], bool(JsonSchema(new).errors("long name"))) == ("Its name.", True)
    assert body_of(with_body(beside, schemas=schemas)) == {"type": "string", "description": "A name."}
    assert body_of(with_body({"type": ["string", "null"], "exclusiveMinimum": 1, "const": "a"}, version="3.1.0"))["type"] == [
        "string",
        "null",
    ]


def test_a_pattern_that_cannot_be_matched_in_linear_time_is_left_to_the_api() -> None:
    tools = compiled(with_body({"type": "string", "pattern": "^(?!x)"}))
    assert tools.operations[0].schema["properties"]["body"] == {"type": "string"}
    assert "not checked" in tools.notes[0]


def test_arguments_get_names_that_every_provider_takes_and_none_twice() -> None:
    parameters = [
        {"name": "id", "in": "path", "required": True, **TEXT},
        {"name": "id", "in": "query", **TEXT},
        {"name": "id", "in": "header", **TEXT},
        {"name": "body", "in": "query", **TEXT},
        {"name": "filter[name]", "in": "query", **TEXT},
        {"name": "filter(name)", "in": "query", **TEXT},
        {"name": "größe" * 30, "in": "query", **TEXT},
    ]
    found = operation(with_operation({"parameters": parameters}, path="/x/{id}"))
    names = [parameter.argument for parameter in found.parameters]
    assert names[:6] == ["id", "query_id", "header_id", "query_body", "filter_name_", "query_filter_name_"]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 64 and name.isascii() for name in names)
    assert [parameter.name for parameter in found.parameters] == [parameter["name"] for parameter in parameters]


def test_headers_that_others_set_are_no_arguments() -> None:
    names = ["Accept", "Authorization", "content-type", "Idempotency-Key", "X-Tenant", "X-Own"]
    parameters = [{"name": name, "in": "header", "required": True, **TEXT} for name in names]
    tools = compiled(with_operation({"parameters": parameters}), headers=("x-tenant",))
    assert list(tools.operations[0].schema["properties"]) == ["X-Own"]


def test_optional_parameters_that_cannot_be_sent_are_left_out_and_noted() -> None:
    parameters = [
        {"name": "a", "in": "cookie", **TEXT},
        {"name": "b", "in": "query", "style": "deepObject", **TEXT},
        {"name": "c", "in": "query", "content": {"application/json": TEXT}},
        {"name": "Host", "in": "header", **TEXT},
        {"name": "X\r\nY", "in": "header", **TEXT},
        {"name": "Transfer-Encoding", "in": "header", **TEXT},
    ]
    tools = compiled(with_operation({"parameters": parameters}))
    assert tools.operations[0].schema["properties"] == {}
    assert len(tools.notes) == len(parameters)


@pytest.mark.parametrize(
    ("given", "pointer", "says"),
    [
        (with_operation({"parameters": [{"name": "a", "in": "query", "style": "deepObject", **MUST}]}), "/parameters/0", "deepObject"),
        (with_operation({"parameters": [{"name": "a", "in": "path", "style": "matrix"}]}, path="/{a}"), "/parameters/0", "matrix"),
        (with_operation({"parameters": [{"name": "a", "in": "cookie", "required": True}]}), "/parameters/0", "cookie"),
        (with_operation({"parameters": [{"name": "Host", "in": "header", "required": True}]}), "/parameters/0", "header"),
        (with_operation({"parameters": {}}), "/parameters", "list"),
        (with_operation({"parameters": [7]}), "/parameters/0", "object"),
        (with_operation({"parameters": [{"$ref": "#/components/parameters/None"}]}), "/parameters/0/$ref", "There is no"),
        (with_operation({"parameters": [{"$ref": "https://elsewhere.example/p.json"}]}), "/parameters/0/$ref", "within the document"),
        (with_operation({"parameters": [{"$ref": "other.yaml#/A"}]}), "/parameters/0/$ref", "within the document"),
        (with_operation({"parameters": [{"$ref": "#/a"}]}, a={"$ref": "#/b"}, b={"$ref": "#/a"}), "", "circle"),
        (with_operation({}, path="/x/{id}"), "/paths/~1x~1{id}", "no parameter"),
        (with_operation({"parameters": [{"name": "a", "in": "path"}]}), "/paths/~1x", "no place"),
        (with_operation({}, path="/x?admin=1"), "/paths/~1x?admin=1", "query"),
        (with_operation({}, path="/x/../y"), "/paths/~1x~1..~1y", "dots"),
        (with_operation({}, path="/x y"), "/paths/~1x y", "blanks"),
        (with_operation({}, path="/x{"), "/paths/~1x{", "braces"),
        (with_operation({"servers": [{"url": "https://other.example"}]}), "/servers", "servers of its own"),
        (with_operation({"requestBody": {"required": True, "content": {"a/b": {}}}}, method="post"), "/requestBody", "other than JSON"),
        (with_operation({"requestBody": {"required": True, "content": {"application/json": {}}}}), "/requestBody", "HTTP has none"),
        (with_body("text"), "/schema", "schema belongs"),
        (with_body({"allOf": {}}), "/schema/allOf", "list"),
        (with_body({"properties": []}), "/schema/properties", "object"),
        (with_body({"type": "strange"}), "", "not valid"),
        (with_body({"minimum": "x"}), "", "not valid"),
        (with_body({"$dynamicRef": "#x"}, version="3.1.0"), "/$dynamicRef", "not followed"),
        (with_body({"enum": ["x" * 70_000]}), "", "larger than"),
        (with_body({"$ref": "#/paths/~1x/post"}, schemas={}), "", ""),
    ],
)  # fmt: skip
def test_what_cannot_become_a_tool_is_refused_where_it_stands(given: dict[str, Any], pointer: str, says: str) -> None:
    if not says:
        assert body_of(given) == {}  # an operation is no schema, and as one it says nothing
        return
    problem = refusal(given)
    assert says in problem.detail
    assert problem.errors[0].pointer.startswith("/document")
    assert problem.errors[0].pointer.endswith(pointer)


def test_schemas_that_unfold_to_more_than_a_tool_should_have_are_refused() -> None:
    wide = {
        f"S{n}": {"type": "object", "properties": {f"p{m}": {"$ref": f"#/components/schemas/S{n + 1}"} for m in range(10)}}
        for n in range(9)
    }
    assert "too large" in refusal(with_body({"$ref": "#/components/schemas/S0"}, schemas=wide | {"S9": {}})).detail
    chain = {f"S{n}": {"items": {"$ref": f"#/components/schemas/S{n + 1}"}} for n in range(60)}
    assert "too deep" in refusal(with_body({"$ref": "#/components/schemas/S0"}, schemas=chain | {"S60": {}})).detail


def test_of_operations_that_are_not_there_the_likely_ones_are_named_all_at_once() -> None:
    problem = refusal(document(), "getPets", "listPets", "nonsense")
    assert [error.pointer for error in problem.errors] == ["/operations/0", "/operations/2"]
    assert "Did you mean getPet?" in problem.errors[0].message or "Did you mean listPets?" in problem.errors[0].message
    assert "PATCH /pets/{petId}" in problem.hint
    twice = document()
    twice["paths"]["/pets"]["post"]["operationId"] = "listPets"
    assert "2 operations" in refusal(twice, "listPets").detail


@pytest.mark.parametrize(
    ("servers", "given", "says"),
    [
        ([{"url": "/v1"}], None, "server_url"),
        ([], None, "server_url"),
        (None, None, "server_url"),
        ([{"url": "https://{host}/"}], None, "braces"),
        ([{"url": "ftp://files.example"}], None, "server_url"),
        ([], "api.example.com", "absolute"),
        ([], "https://api.example.com/?key=1", "query"),
        ([], "https://api.example.com/a/../b", "dots"),
        ([], "https://api.example.com#x", "fragment"),
    ],
)
def test_without_an_address_that_is_one_there_are_no_tools(servers: Any, given: str | None, says: str) -> None:
    problem = refusal(document(servers=servers), "listPets", server_url=given)
    assert says in f"{problem.detail} {problem.hint} {problem.errors}"


def test_a_given_server_counts_also_where_operations_have_their_own() -> None:
    own = with_operation({"servers": [{"url": "https://other.example"}]})
    assert compiled(own, server_url="https://api.example.com/v2/").server_url == "https://api.example.com/v2"
