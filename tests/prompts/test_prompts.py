from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once

from pointsman.kit.db import Connection
from pointsman.kit.problems import Problem
from pointsman.prompts.errors import PromptExists
from pointsman.prompts.schemas import PromptCreate, PromptPatch
from pointsman.prompts.service import PromptService

GREETING: dict[str, Any] = {"id": "greeting", "name": "Greeting", "template": "Hello {name}"}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/prompts", json={**GREETING, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


async def test_a_prompt_is_read_back_as_it_was_made(api: httpx.AsyncClient) -> None:
    body = GREETING | {
        "description": "says hello",
        "tags": ["a", "b"],
        "tools": [{"type": "builtin", "name": "current_time", "timezone": "Europe/Berlin"}, {"type": "builtin", "name": "think"}],
    }
    answer = await api.post("/v2/prompts", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v2/prompts/greeting"
    prompt = answer.json()
    assert set(prompt) == {
        *("id", "name", "template", "description", "tags", "tools"),
        *("version", "created_at", "updated_at", "is_active"),
    }
    assert {name: prompt[name] for name in body} == body
    assert (prompt["version"], prompt["is_active"]) == (1, True)
    assert (await api.get("/v2/prompts/greeting")).json() == prompt


async def test_an_id_that_is_taken_is_refused(api: httpx.AsyncClient) -> None:
    await made(api)
    problem(await api.post("/v2/prompts", json=GREETING | {"name": "Other"}), 409, "prompt-exists")
    assert (await api.get("/v2/prompts/greeting")).json()["name"] == "Greeting"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": "a/b"}, "/id"),
        ({"id": "-a"}, "/id"),
        ({"name": " "}, "/name"),
        ({"name": "n" * 256}, "/name"),
        ({"template": ""}, "/template"),
        ({"template": "t" * 200_001}, "/template"),
        ({"template": None}, "/template"),
        ({"tags": ["a", "a"]}, "/tags"),
        ({"tags": [""]}, "/tags/0"),
        ({"tools": [{"type": "builtin", "name": "curent_time"}]}, "/tools/0/name"),
        ({"tools": [{"name": "think"}]}, "/tools/0/type"),
        ({"tools": [{"type": "builtin", "name": "think"}] * 2}, "/tools"),
        ({"tools": [{"type": "builtin", "name": "current_time", "timezone": "Europe/Atlantis"}]}, "/tools/0/timezone"),
        ({"tools": [{"type": "builtin", "name": "current_time", "timezone": "../../etc/passwd"}]}, "/tools/0/timezone"),
        ({"tools": [{"type": "builtin", "name": "think", "timezone": "UTC"}]}, "/tools/0/timezone"),
        ({"version": 7}, "/version"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(api: httpx.AsyncClient, fields: dict[str, Any], pointer: str) -> None:
    refused = problem(await api.post("/v2/prompts", json=GREETING | fields), 422, "invalid-request")
    assert [error["pointer"] for error in refused["errors"]] == [pointer]


async def test_a_mistyped_tool_gets_a_suggestion(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/prompts", json=GREETING | {"tools": [{"type": "builtin", "name": "memmory"}]})
    assert "Did you mean memory?" in answer.text


async def test_an_edit_makes_a_version_and_the_old_text_stays_readable(api: httpx.AsyncClient) -> None:
    await made(api)
    edited = (await api.patch("/v2/prompts/greeting", json={"template": "Hi {name}", "tags": ["x"]})).json()
    assert (edited["version"], edited["template"], edited["tags"]) == (2, "Hi {name}", ["x"])
    versions = (await api.get("/v2/prompts/greeting/versions")).json()["items"]
    assert [(item["version"], item["template"], item["created_by"]) for item in versions] == [
        (2, "Hi {name}", "editor"),
        (1, "Hello {name}", "editor"),
    ]
    assert (await api.get("/v2/prompts/greeting/versions/1")).json()["tags"] == []


async def test_an_edit_that_changes_nothing_makes_no_version(api: httpx.AsyncClient) -> None:
    before = await made(api, description="d")
    for patch in ({}, {"template": GREETING["template"]}, {"tags": [], "description": "d"}):
        assert (await api.patch("/v2/prompts/greeting", json=patch)).json() == before


async def test_null_clears_a_description_and_nothing_else(api: httpx.AsyncClient) -> None:
    await made(api, description="d")
    cleared = (await api.patch("/v2/prompts/greeting", json={"description": None})).json()
    assert (cleared["description"], cleared["version"]) == (None, 2)
    for name in ("name", "template", "tags", "tools"):
        problem(await api.patch("/v2/prompts/greeting", json={name: None}), 422, "invalid-request")


async def test_a_rollback_is_a_new_version_with_everything_old(api: httpx.AsyncClient) -> None:
    first = await made(api, description="first", tags=["one"], tools=[{"type": "builtin", "name": "think"}])
    await api.patch("/v2/prompts/greeting", json={"name": "N", "template": "two", "description": None, "tags": [], "tools": []})
    rolled = (await api.post("/v2/prompts/greeting/rollback", json={"version": 1})).json()
    same = ("name", "template", "description", "tags", "tools")
    assert rolled["version"] == 3
    assert {name: rolled[name] for name in same} == {name: first[name] for name in same}
    assert (await api.post("/v2/prompts/greeting/rollback", json={"version": 3})).json()["version"] == 3
    problem(await api.post("/v2/prompts/greeting/rollback", json={"version": 9}), 404, "prompt-version-not-found")


async def test_the_diff_shows_the_template_and_the_fields(api: httpx.AsyncClient) -> None:
    await made(api, template="a\nb\nc")
    await api.patch("/v2/prompts/greeting", json={"template": "a\nB\nc"})
    await api.patch("/v2/prompts/greeting", json={"tags": ["t"]})
    diff = (await api.get("/v2/prompts/greeting/diff", params={"from": 1, "to": 3})).json()
    assert (diff["from"], diff["to"]) == (1, 3)
    assert diff["diff"] == "--- greeting version 1\n+++ greeting version 3\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
    assert diff["changes"] == {"tags": {"before": [], "after": ["t"]}}
    newest = (await api.get("/v2/prompts/greeting/diff")).json()
    assert (newest["from"], newest["to"], newest["diff"]) == (2, 3, "")
    problem(await api.get("/v2/prompts/greeting/diff", params={"from": 1, "to": 4}), 404, "prompt-version-not-found")
    problem(await api.get("/v2/prompts/greeting/diff", params={"from": 2**31}), 422, "invalid-request")


async def test_labels_are_set_moved_listed_and_deleted(api: httpx.AsyncClient) -> None:
    await made(api)
    await api.patch("/v2/prompts/greeting", json={"template": "two"})
    url = "/v2/prompts/greeting/labels"
    assert (await api.put(f"{url}/production", json={"version": 1})).json()["version"] == 1
    moved = (await api.put(f"{url}/production", json={"version": 2})).json()
    assert (moved["label"], moved["version"]) == ("production", 2)
    await api.put(f"{url}/staging", json={"version": 1})
    listed = (await api.get(url)).json()["items"]
    assert [(item["label"], item["version"]) for item in listed] == [("production", 2), ("staging", 1)]
    assert (await api.get(f"{url}/production")).json() == moved
    for _ in range(2):
        assert (await api.delete(f"{url}/staging")).status_code == 204
    problem(await api.get(f"{url}/staging"), 404, "prompt-label-not-found")
    problem(await api.put(f"{url}/production", json={"version": 3}), 404, "prompt-version-not-found")


@pytest.mark.parametrize("label", ["latest", "Latest", "7", "-a", "a b"])
async def test_a_label_that_reads_like_a_version_is_refused(api: httpx.AsyncClient, label: str) -> None:
    await made(api)
    problem(await api.put(f"/v2/prompts/greeting/labels/{label}", json={"version": 1}), 422, "invalid-request")


async def test_render_fills_the_chosen_version(api: httpx.AsyncClient) -> None:
    await made(api)
    await api.patch("/v2/prompts/greeting", json={"template": "Hi {name} of {city}"})
    await api.put("/v2/prompts/greeting/labels/production", json={"version": 1})

    async def filled(**body: Any) -> dict[str, Any]:
        return (await api.post("/v2/prompts/greeting/render", json=body)).json()

    newest = await filled(variables={"name": "Ada", "x": 1})
    assert newest == {"text": "Hi Ada of {city}", "missing": ["city"], "unused": ["x"], "version": 2}
    assert (await filled(variables={"name": "Ada"}, version=1))["text"] == "Hello Ada"
    assert (await filled(variables={"name": "Ada"}, label="production"))["version"] == 1
    assert (await filled())["missing"] == ["name", "city"]
    for body, status in (({"version": 3}, 404), ({"label": "nope"}, 404), ({"version": 1, "label": "production"}, 422)):
        assert (await api.post("/v2/prompts/greeting/render", json=body)).status_code == status
    many = {"template": "{a}" * 50_000}
    await api.patch("/v2/prompts/greeting", json=many)
    problem(await api.post("/v2/prompts/greeting/render", json={"variables": {"a": "x" * 1000}}), 413, "prompt-too-long")


async def test_a_deleted_prompt_is_absent_and_comes_back_as_its_next_version(api: httpx.AsyncClient) -> None:
    await made(api)
    for _ in range(2):
        assert (await api.delete("/v2/prompts/greeting")).status_code == 204
    for path in ("", "/versions", "/versions/1", "/labels", "/diff"):
        problem(await api.get(f"/v2/prompts/greeting{path}"), 404, "prompt-not-found")
    problem(await api.patch("/v2/prompts/greeting", json={"name": "n"}), 404, "prompt-not-found")
    assert (await api.get("/v2/prompts")).json()["items"] == []
    shown = (await api.get("/v2/prompts", params={"include_inactive": True})).json()["items"]
    assert [(item["id"], item["is_active"]) for item in shown] == [("greeting", False)]
    again = await made(api, template="new")
    assert (again["version"], again["template"], again["is_active"]) == (2, "new", True)
    assert (await api.get("/v2/prompts/greeting/versions/1")).json()["template"] == "Hello {name}"


@pytest.mark.parametrize("path", ["nothing", "nothing/versions", "a%2Fb", "x" * 300, "greeting/versions/9", "greeting/versions/x"])
async def test_what_does_not_exist_is_not_found(api: httpx.AsyncClient, path: str) -> None:
    await made(api)
    assert (await api.get(f"/v2/prompts/{path}")).status_code == 404
    assert (await api.get("/v2/prompts/greeting/versions/99999999999999999999")).status_code == 404
    assert (await api.delete("/v2/prompts/nothing")).status_code == 404


async def test_the_list_is_filtered_and_paged(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await made(api, id=f"p{number}", name=f"Name {number}", tags=["all", "odd" if number % 2 else "even"], description="50% off")

    async def ids(**params: Any) -> list[str]:
        return [item["id"] for item in (await api.get("/v2/prompts", params=params)).json()["items"]]

    assert await ids(tag="odd") == ["p1", "p3"]
    assert await ids(tag=["all", "even"]) == ["p0", "p2", "p4"]
    assert await ids(tag='"') == []
    assert await ids(q="NAME 3") == ["p3"]
    assert await ids(q="50%") == ["p0", "p1", "p2", "p3", "p4"]
    assert await ids(q="5_%") == []
    first = (await api.get("/v2/prompts", params={"limit": 2})).json()
    second = (await api.get("/v2/prompts", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ["p0", "p1", "p2", "p3", "p4"]
    assert second["next_cursor"] is None
    problem(await api.get("/v2/prompts", params={"cursor": "junk"}), 422, "invalid-request")


async def test_versions_are_paged(api: httpx.AsyncClient) -> None:
    await made(api)
    for number in range(4):
        await api.patch("/v2/prompts/greeting", json={"template": str(number)})
    first = (await api.get("/v2/prompts/greeting/versions", params={"limit": 3})).json()
    rest = (await api.get("/v2/prompts/greeting/versions", params={"cursor": first["next_cursor"]})).json()
    assert [item["version"] for item in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]


async def test_edits_at_the_same_time_each_get_a_version(prompts: PromptService) -> None:
    await prompts.create_prompt(CALLER, PromptCreate(**GREETING))
    edits = [PromptPatch(template=f"edit {number}") for number in range(5)]
    done = await at_once(*(lambda edit=edit: prompts.update_prompt(CALLER, "greeting", edit) for edit in edits))
    assert sorted(prompt.version for prompt in done) == [2, 3, 4, 5, 6]
    versions = (await prompts.list_versions("greeting")).items
    assert {version.template for version in versions} == {"Hello {name}", *(edit.template for edit in edits)}


async def test_of_creations_at_the_same_time_one_wins(prompts: PromptService) -> None:
    for _ in range(2):
        done = await at_once(*(lambda: prompts.create_prompt(CALLER, PromptCreate(**GREETING)) for _ in range(5)))
        assert sum(isinstance(result, PromptExists) for result in done) == 4
        assert not [result for result in done if isinstance(result, BaseException) and not isinstance(result, Problem)]
        await prompts.delete_prompt(CALLER, "greeting")


async def test_every_change_is_in_the_log_of_changes(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api)
    await api.patch("/v2/prompts/greeting", json={"template": "two"})
    await api.patch("/v2/prompts/greeting", json={"template": "two"})
    await api.post("/v2/prompts/greeting/rollback", json={"version": 1})
    await api.put("/v2/prompts/greeting/labels/live", json={"version": 1})
    await api.delete("/v2/prompts/greeting/labels/live")
    await api.delete("/v2/prompts/greeting")
    await api.delete("/v2/prompts/greeting")
    await made(api)
    rows = await owner.fetch("SELECT action, actor FROM audit_log WHERE object_type = 'prompt' AND object_id = 'greeting' ORDER BY id")
    assert [row["action"].removeprefix("prompt.") for row in rows] == [
        *("created", "updated", "rolled_back", "label_set", "label_deleted"),
        *("deleted", "restored"),
    ]
    assert {row["actor"] for row in rows} == {"editor"}
