from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.openapi.pets import PETS, operation, with_operation

from pointsman.kit.egress.urls import parse_url
from pointsman.tools.openapi.filling import ArgumentRefusedError, Request, build_request
from pointsman.tools.openapi.rows import Operation

SERVER = "https://api.example.com/v1"
GET_PET = operation(PETS, "getPet")
LIST_PETS = operation(PETS, "listPets")


def filled(op: Operation, **args: Any) -> Request:
    return build_request(SERVER, op, args)


def query(**args: Any) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(filled(LIST_PETS, **args).url).query, keep_blank_values=True)


def with_parameter(**parameter: Any) -> Operation:
    path = "/x/{p}" if parameter["in"] == "path" else "/x"
    return operation(with_operation({"parameters": [{"name": "p", "required": True, "schema": {}, **parameter}]}, path=path))


def test_arguments_go_where_the_document_says() -> None:
    assert query(tag__=["a&b", "c=d"], kinds=["x,y", "z"], limit=3) == [
        ("tag[]", "a&b"),
        ("tag[]", "c=d"),
        ("kinds", "x,y,z"),
        ("limit", "3"),
    ]
    assert "kinds=x%2Cy,z" in filled(LIST_PETS, kinds=["x,y", "z"]).url
    assert query(where={"name": "Rex", "none": None, "ok": "yes"}) == [("name", "Rex"), ("ok", "yes")]
    assert query(tag__=[], kinds=[], limit=None) == []
    assert filled(LIST_PETS, **{"X-Trace": " abc "}).headers["X-Trace"] == "abc"
    assert filled(GET_PET, petId="ä b").url == f"{SERVER}/pets/%C3%A4%20b"


@pytest.mark.parametrize(
    ("parameter", "value", "url"),
    [
        ({"in": "path"}, ["a/b", "c,d"], "/x/a%2Fb,c%2Cd"),
        ({"in": "path"}, {"a": 1, "b": True}, "/x/a,1,b,true"),
        ({"in": "path", "explode": True}, {"a": 1.5, "b": False}, "/x/a=1.5,b=false"),
        ({"in": "query", "explode": False}, {"a": 1, "b&": "2"}, "/x?p=a,1,b%26,2"),
        ({"in": "query"}, True, "/x?p=true"),
        ({"in": "query"}, "", "/x?p="),
    ],
)
def test_lists_and_objects_have_the_forms_of_their_styles(parameter: dict[str, Any], value: Any, url: str) -> None:
    assert filled(with_parameter(**parameter), p=value).url == f"{SERVER}{url}"


def test_a_body_is_sent_in_the_type_that_the_document_names() -> None:
    request = filled(operation(PETS, "PATCH /pets/{petId}"), petId="7", body={"name": None, "x": [1, "é"]})
    assert (request.method, request.headers["Content-Type"]) == ("PATCH", "application/merge-patch+json")
    assert request.body == '{"name":null,"x":[1,"é"]}'.encode()
    bare = filled(operation(PETS, "PATCH /pets/{petId}"), petId="7")
    assert bare.body is None
    assert "Content-Type" not in bare.headers


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "..", "../admin", "..\\admin", "a/../../admin", "a/./b", "/..", "../", "..;/admin", "..;x=1/admin", " .. ", "..\t"),
        *("%2e%2e", "%2E%2e/admin", "%252e%252e/admin", "..%2fadmin", "..%5cadmin", "%2e./x", "a%2f..%2fb", "%25252e%25252e/x"),
        *("a\r\nHost: evil", "a\nb", "a\x00b", "a%0d%0aX: y", "%00", "\x7f"),
        None, {"a": {"b": 1}}, [["x"]], [".."], "..,..", {}, [],
    ],
)  # fmt: skip
def test_no_argument_leaves_its_place_in_the_path(value: Any) -> None:
    if value == "..,..":  # one step, of other characters than dots
        assert filled(GET_PET, petId=value).url == f"{SERVER}/pets/..%2C.."
        return
    with pytest.raises(ArgumentRefusedError):
        filled(with_parameter(**{"in": "path"}), p=value)


def test_two_arguments_do_not_make_the_step_that_neither_may_be() -> None:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {}} for name in "ab"]
    joined = operation(with_operation({"parameters": parameters}, path="/x/.{a}{b}"))
    assert filled(joined, a="g", b="it").url == f"{SERVER}/x/.git"
    for one, other in ((";", "."), (";", "x")):
        with pytest.raises(ArgumentRefusedError):
            filled(joined, a=one, b=other)


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\rb", "a\x00b", "\x7f", "é", "a\u2028b", ["a", "b\r\n"], {"a\n": "b"}])
def test_no_argument_leaves_its_header(value: Any) -> None:
    with pytest.raises(ArgumentRefusedError):
        filled(with_parameter(**{"in": "header"}), p=value)


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.text(max_size=10), max_size=4))
def test_whatever_is_asked_the_url_keeps_its_host_its_path_and_its_parameters(pet: str, kind: str, tags: list[str]) -> None:
    try:
        url = filled(GET_PET, petId=pet).url
    except ArgumentRefusedError:
        url = filled(GET_PET, petId="fine").url
        pet = "fine"
    target = parse_url(url)
    assert (target.host, target.port, target.scheme) == ("api.example.com", 443, "https")
    head, _, last = target.path_and_query.rpartition("/")
    assert head == "/v1/pets"
    assert unquote(last, errors="replace") == pet.encode("utf-8", "replace").decode()
    assert not set(last) & set("?#&/\\ ")
    pairs = query(where={"k": kind}, tag__=tags)
    assert pairs == [*(("tag[]", tag.encode("utf-8", "replace").decode()) for tag in tags), ("k", kind.encode("utf-8", "replace").decode())]
