from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from tests.tools.openapi.conftest import USER, Scene

from pointsman.credentials.errors import RunWithoutUser, UserNotConnected
from pointsman.credentials.using import RunUser
from pointsman.kit.egress import EgressRefused
from pointsman.llm.port import ToolCall
from pointsman.tools.openapi.answers import KEPT
from pointsman.tools.openapi.errors import OpenApiToolsMissing
from pointsman.tools.texts import LONGEST
from pointsman.turns.ports import ToolOutcome

SECRET = "s3cret-of-pets/+"


def call(name: str, call_id: str = "call_1", /, **args: Any) -> ToolCall:
    return ToolCall(call_id, f"pets__{name}", json.dumps(args))


async def called(scene: Scene, name: str, call_id: str = "call_1", /, *, user: RunUser = USER, **args: Any) -> ToolOutcome:
    return await (await scene.toolbox(user=user)).call(call(name, call_id, **args))


async def test_a_call_is_one_request_and_its_answer_is_what_the_model_is_told(scene: Scene) -> None:
    await scene.register()
    assert await called(scene, "listPets", q="a b&c") == ToolOutcome('{"ok":true}')
    await (await scene.toolbox()).call(call("getPet", petId="ä/1", **{"X-Trace": "t"}))
    await called(scene, "addPet", body={"name": "Rex", "more": [1]})
    listed, got, added = scene.api.asked
    assert (listed.method, listed.target, listed.body) == ("GET", "/pets?q=a%20b%26c", b"")
    assert (got.target, got.header("x-trace"), got.header("idempotency-key")) == ("/pets/%C3%A4%2F1", "t", None)
    assert (added.method, added.header("content-type"), json.loads(added.body)) == (
        "POST",
        "application/json",
        {"name": "Rex", "more": [1]},
    )
    assert listed.header("accept") == "application/json, */*;q=0.5"
    assert listed.header("user-agent") == "pointsman"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("listPets", {"q": 7}),
        ("listPets", {"unknown": "x"}),
        ("getPet", {}),
        ("getPet", {"petId": "../admin"}),
        ("getPet", {"petId": "1", "X-Trace": "a\r\nX: y"}),
        ("addPet", {"body": {}}),
        ("addPet", {"body": "text"}),
        ("addPet", {"name": "Rex"}),
    ],
)
async def test_arguments_that_do_not_fit_are_told_to_the_model_and_sent_to_nobody(scene: Scene, name: str, args: dict[str, Any]) -> None:
    await scene.register()
    outcome = await called(scene, name, **args)
    assert outcome.is_error
    assert len(outcome.content) < 1000
    assert not scene.api.asked


@pytest.mark.parametrize("args", ["", "{", "[]", "null", "7", '{"a": "\\ud83d"}', "[" * 3000])
async def test_what_is_no_object_is_told_to_the_model(scene: Scene, args: str) -> None:
    await scene.register()
    outcome = await (await scene.toolbox()).call(ToolCall("c", "pets__getPet", args))
    assert outcome.is_error
    assert not scene.api.asked


async def test_headers_are_filled_for_the_call_and_what_was_filled_in_never_comes_back(scene: Scene) -> None:
    await scene.register(headers={"Authorization": "Bearer ${secret:pets_key}", "accept": "application/vnd.pets+json"})
    encoded = base64.b64encode(f"Bearer {SECRET}".encode()).decode()
    scene.api.answer({"headers": {"Authorization": f"Bearer {SECRET}"}, "again": encoded})
    outcome = await called(scene, "listPets")
    (asked,) = scene.api.asked
    assert asked.header("authorization") == f"Bearer {SECRET}"
    assert asked.header("accept") == "application/vnd.pets+json"
    assert "Bearer" in outcome.content
    assert SECRET not in outcome.content
    assert SECRET not in base64.b64decode(json.loads(outcome.content)["again"] + "===", validate=False).decode("latin-1")
    scene.api.answer(f"no such key {SECRET}".encode(), status=403, Content_Type="text/plain")
    refused = await called(scene, "listPets")
    assert (refused.is_error, SECRET in refused.content) == (True, False)


async def test_a_user_without_the_credential_is_told_what_to_do_and_nothing_is_sent(scene: Scene) -> None:
    await scene.register(headers={"Authorization": "Bearer ${token:github}"})
    with pytest.raises(UserNotConnected, match="ann has to connect github"):
        await called(scene, "listPets")
    with pytest.raises(RunWithoutUser):
        await called(scene, "listPets", user=RunUser("acme", None, "run_1"))
    assert not scene.api.asked


async def test_credentials_are_not_taken_along_by_a_redirect(scene: Scene) -> None:
    await scene.register(headers={"X-Key": "${secret:pets_key}"})
    scene.api.answer(status=302, Location=f"http://127.0.0.2:{scene.api.port}/elsewhere?key={SECRET}")
    outcome = await called(scene, "listPets")
    assert outcome.is_error
    assert "302 Found" in outcome.content
    assert "not followed" in outcome.content
    assert SECRET not in outcome.content
    assert len(scene.api.asked) == 1


async def test_the_same_call_has_the_same_idempotency_key_and_no_other_has(scene: Scene) -> None:
    await scene.register()
    for call_id, run, name in (
        ("call_1", "run_1", "Rex"),
        ("call_1", "run_1", "Rex"),
        ("call_2", "run_1", "Rex"),
        ("call_1", "run_2", "Rex"),
        ("call_1", "run_1", "Max"),
    ):
        await called(scene, "addPet", call_id, user=RunUser("acme", "ann", run), body={"name": name})
    await called(scene, "putPet", petId="1", body={"name": "Rex"})
    keys = [asked.header("idempotency-key") for asked in scene.api.asked]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
    assert all(key and key.startswith("pm-") for key in keys)


async def test_what_http_calls_idempotent_may_be_repeated(scene: Scene) -> None:
    await scene.register()
    toolbox = await scene.toolbox()
    assert [toolbox.may_repeat(spec.name) for spec in toolbox.specs] == [True, False, True, True]


@pytest.mark.parametrize(
    ("status", "body", "headers", "says", "is_error"),
    [
        (200, {"a": "é"}, {}, '{"a": "\\u00e9"}', False),
        (200, "grüße".encode("latin-1"), {"Content_Type": "text/plain; charset=ISO-8859-1"}, "grüße", False),
        (200, "grüße".encode("latin-1"), {"Content_Type": "text/plain; charset=no-such"}, "gr\ufffd\ufffde", False),
        (200, b"a\x00b", {"Content_Type": "text/plain"}, "ab", False),
        (200, b"<a/>", {"Content_Type": "application/atom+xml"}, "<a/>", False),
        (200, b"plain", {"Content_Type": ""}, "plain", False),
        (200, gzip.compress(b"packed", mtime=0), {"Content_Type": "text/plain", "Content_Encoding": "gzip"}, "packed", False),
        (200, b"\x0b\x02", {"Content_Type": "text/plain", "Content_Encoding": "br"}, "content coding", False),
        (200, b"\x89PNG\r\n\x1a\n", {"Content_Type": "image/png"}, "image/png, 8 bytes", False),
        (200, b"\x00\xff", {"Content_Type": ""}, "no text", False),
        (204, None, {}, "204 No Content without a body", False),
        (404, {"detail": "no such pet"}, {}, '404 Not Found: {"detail": "no such pet"}', True),
        (500, None, {}, "500 Internal Server Error", True),
        (503, b"\x1f\x8b", {"Content_Type": "application/octet-stream"}, "503 Service Unavailable", True),
        (299, b"odd", {"Content_Type": "text/plain"}, "odd", False),
        (799, b"odd", {"Content_Type": "text/plain"}, "799: odd", True),
        (304, None, {}, "304 Not Modified", True),
    ],
)  # fmt: skip
async def test_answers_are_told_as_what_they_are(
    scene: Scene, status: int, body: Any, headers: dict[str, str], says: str, is_error: bool
) -> None:
    await scene.register()
    scene.api.answer(body, status=status, **headers)
    outcome = await called(scene, "listPets")
    assert says in outcome.content
    assert outcome.is_error is is_error


async def test_an_answer_is_bounded_and_says_so(scene: Scene) -> None:
    await scene.register()
    scene.api.answer(b"x" * (KEPT * 2), Content_Type="text/plain")
    outcome = await called(scene, "listPets")
    assert LONGEST < len(outcome.content) < LONGEST + 100
    assert "Cut off" in outcome.content
    scene.api.answer(gzip.compress(b"\0" * 50_000_000), Content_Type="text/plain", Content_Encoding="gzip")
    assert len((await called(scene, "listPets")).content) < LONGEST
    scene.api.answer(b"e" * 100_000, status=500, Content_Type="text/plain")
    assert len((await called(scene, "listPets")).content) < 5000
    scene.api.answer(b"b" * (KEPT * 2), Content_Type="image/png")
    assert f"more than {KEPT} bytes" in (await called(scene, "listPets")).content


async def test_who_does_not_answer_is_given_up_and_what_may_have_happened_is_said(scene: Scene) -> None:
    await scene.register(timeout_seconds=1)
    scene.api.silent = True
    listed, added = await called(scene, "listPets"), await called(scene, "addPet", body={"name": "Rex"})
    assert "within 1 s" in listed.content
    assert "not known" not in listed.content
    assert "Whether the call took effect is not known." in added.content


async def test_a_server_that_is_internal_is_refused_when_it_is_called(scene: Scene) -> None:
    await scene.register(server_url=f"http://rebound.test:{scene.api.port}")
    with pytest.raises(EgressRefused):
        await called(scene, "listPets")


async def test_a_reference_offers_what_it_names_and_what_is_gone_is_a_problem(scene: Scene) -> None:
    await scene.register()
    assert [spec.name for spec in (await scene.toolbox("getPet", "listPets")).specs] == ["pets__getPet", "pets__listPets"]
    with pytest.raises(OpenApiToolsMissing, match="removePet"):
        await scene.toolbox("removePet")
    with pytest.raises(OpenApiToolsMissing, match="none"):
        await scene.source.open([{"type": "openapi", "name": "none"}], USER)
