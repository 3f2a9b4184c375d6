"""Knowledge through the door: uploads as they come, what is wrong with them, and how they are followed."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.edge_scene import client_of, make_key
from tests.knowledge.knowledge_scene import Scene

from pointsman.api.app import create_app
from pointsman.api.door import Door
from pointsman.bootstrap import Gateway, routers
from pointsman.kit.db import Connection
from pointsman.settings import LimitSettings, Settings

MOST = 100_000
BOUNDARY = "xYzZY"


@pytest.fixture
async def door(settings: Settings, dsn: str) -> AsyncGenerator[Door]:
    gateway = await Gateway.open(settings.model_copy(update={"limits": LimitSettings(upload_bytes=MOST)}), dsn)
    await gateway.start()
    try:
        yield create_app(gateway, routers())
    finally:
        await gateway.close()


@pytest.fixture
async def client(door: Door, owner: Connection) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(door, await make_key(owner, "knowledge:read", "knowledge:write", owner_id="acme")) as client:
        yield client


def form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """A multipart body by hand, as name, filename and data of each part."""
    body = b""
    for name, filename, data in parts:
        named = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
        body += f"--{BOUNDARY}\r\nContent-Disposition: {named}\r\n\r\n".encode() + data + b"\r\n"
    return {"content": body + f"--{BOUNDARY}--\r\n".encode(), "headers": {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}}


async def test_a_file_is_taken_in_indexed_found_and_followed_by_its_tenants_key(client: httpx.AsyncClient, scene: Scene) -> None:
    data = {"metadata": '{"team": "people"}', "file_type": "project"}
    answer = await client.post(
        "/v2/knowledge/acme/handbook/files", files={"file": ("../a/rules.md", b"Tea at four.", "text/markdown")}, data=data
    )
    assert answer.status_code == 202, answer.text
    file = answer.json()
    assert (file["original_filename"], file["content_type"], file["file_type"]) == ("rules.md", "text/markdown", "project")
    assert (file["collection_id"], file["metadata"], file["status"]) == ("handbook", {"team": "people"}, "pending")
    place = answer.headers["location"]
    assert place == f"/v2/knowledge/acme/files/{file['file_id']}"
    following = asyncio.create_task(client.get(f"{place}/events"))
    await scene.index()
    events = (await following).text
    assert events.rstrip().rpartition("event: ")[2].startswith("indexed\n")
    assert (await client.get(f"{place}/events?after=99")).text == ""
    found = (await client.post("/v2/knowledge/-/search", json={"query": "tea"})).json()
    assert [(passage["content"], passage["file_id"]) for passage in found["items"]] == [("Tea at four.", file["file_id"])]
    assert [item["file_id"] for item in (await client.get("/v2/knowledge/-/handbook/files")).json()["items"]] == [file["file_id"]]
    assert (await client.post(f"{place}/reindex")).json()["knowledge_status"] == "outdated"
    assert [(await client.delete(place)).status_code for _ in range(2)] == [204, 204]
    assert (await client.get("/v2/knowledge/-/files")).json()["items"] == []
    assert len((await client.get("/v2/knowledge/-/files?status=deleted")).json()["items"]) == 1
    assert (await client.post("/v2/knowledge/-/search", json={"query": "tea"})).json()["items"] == []


async def test_files_are_listed_page_by_page_newest_first(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post("/v2/knowledge/-/files", files={"file": (f"{number}.txt", b"x%d" % number)})
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = (await client.get("/v2/knowledge/-/files", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        names += [item["original_filename"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["4.txt", "3.txt", "2.txt", "1.txt", "0.txt"]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_a_file_that_is_too_large_is_refused_and_nothing_of_it_is_kept(
    client: httpx.AsyncClient, scene: Scene, announced: bool
) -> None:
    sent = form(("file", "big.bin", bytes(3_000_000 if announced else MOST + 1)))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent["content"]), 10_000):
            yield sent["content"][start : start + 10_000]

    answer = await client.post("/v2/knowledge/-/files", content=sent["content"] if announced else pieces(), headers=sent["headers"])
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large" if announced else "file-too-large")
    assert scene.kept() == set()


FILE = ("file", "a.txt", b"x")


WRONG_PARTS: list[tuple[list[tuple[str, str | None, bytes]], str | None, str]] = [
    ([], "/file", "missing"),
    ([("file", None, b"x")], "/file", "no filename"),
    ([("file", "", b"x")], "/file", "no name"),
    ([FILE, FILE], "/file", "twice"),
    ([("fil", "a.txt", b"x")], None, "Did you mean file?"),
    ([FILE, ("file_typ", None, b"company")], None, "Did you mean file_type?"),
    ([FILE, ("file_type", None, b"compny")], "/file_type", "company or project"),
    ([FILE, ("file_type", None, b"project")], "/file_type", "collection"),
    ([FILE, ("file_id", None, b"7")], "/file_id", "UUID"),
    ([FILE, ("metadata", None, b"{team: x}")], "/metadata", "not JSON"),
    ([FILE, ("metadata", None, b"[1]")], "/metadata", "object"),
    ([FILE, ("metadata", None, b'{"a": "\\u0000"}')], "/metadata", "NUL"),
    ([FILE, ("metadata", None, b'{"a": "\\ud800"}')], "/metadata", "NUL"),
    ([FILE, ("metadata", None, b'{"a": 1e999}')], "/metadata", "too large"),
    ([FILE, ("metadata", None, b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}")], "/metadata", "nested"),
    ([FILE, ("metadata", None, b'{"a": "' + b"x" * 20_000 + b'"}')], "/metadata", "at most"),
    ([FILE, ("metadata", None, b"\xff")], "/metadata", "UTF-8"),
    ([FILE, ("metadata", None, b"x" * 70_000)], "/metadata", "at most"),
    ([FILE, *[(f"x{number}", None, b"") for number in range(20)]], None, "at most 16 parts"),
]


async def test_what_is_wrong_with_an_upload_is_said_with_its_place(client: httpx.AsyncClient) -> None:
    for parts, pointer, said in WRONG_PARTS:
        answer = await client.post("/v2/knowledge/-/files", **form(*parts))
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert said in problem["detail"]
        assert [error["pointer"] for error in problem.get("errors", [])] == ([pointer] if pointer else [])
    assert (await client.get("/v2/knowledge/-/files")).json()["items"] == []


NO_UPLOADS = [
    (b"--xYzZY\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nx", f"multipart/form-data; boundary={BOUNDARY}", 400),
    (b"nothing like it", f"multipart/form-data; boundary={BOUNDARY}", 400),
    (b"", f"multipart/form-data; boundary={BOUNDARY}", 400),
    (b"--x\r\nContent-Type: text/plain\r\n\r\nx\r\n--x--", "multipart/form-data; boundary=x", 400),
    (b"x", "multipart/form-data", 400),
    (b"x", f"multipart/form-data; boundary={'x' * 300}", 400),
    (b"x", "text/plain", 415),
    (b"", "application/json", 422),
    (b"{}", "application/json", 422),
    (b'{"url": "https://example.com"}', "application/json", 422),
]


async def test_a_body_that_is_no_upload_is_refused(client: httpx.AsyncClient) -> None:
    for content, content_type, status in NO_UPLOADS:
        answer = await client.post("/v2/knowledge/-/files", content=content, headers={"content-type": content_type})
        assert answer.status_code == status, (content, answer.text)


async def test_a_search_that_says_nothing_or_what_is_not_known_is_refused(client: httpx.AsyncClient) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "/query"),
        ({"query": "  "}, "/query"),
        ({"query": "x", "topk": 3}, "/topk"),
        ({"query": "x", "top_k": 0}, "/top_k"),
        ({"query": "x", "collection_ids": ["a/b"]}, "/collection_ids/0"),
        ({"query": "x", "filter": {"a": {"b": 1e308 * 10}}}, "/filter/a/b"),
    ]
    for body, pointer in wrong:
        answer = await client.post("/v2/knowledge/-/search", content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
    for query in ("'", "a & | !", "((", "the of and", "x" * 2000, "ü€😀", "-", '"'):
        answer = await client.post("/v2/knowledge/-/search", json={"query": query})
        assert (answer.status_code, answer.json()["items"]) == (200, []), query


async def test_another_tenants_path_answers_as_one_that_does_not_exist(client: httpx.AsyncClient, door: Door, owner: Connection) -> None:
    async with client_of(door, await make_key(owner, "admin")) as operator:
        made = await operator.post("/v2/knowledge/other/files", files={"file": ("a.txt", b"x")})
        file_id = made.json()["file_id"]
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v2/knowledge/{}/files", {}),
        ("GET", f"/v2/knowledge/{{}}/files/{file_id}", {}),
        ("GET", f"/v2/knowledge/{{}}/files/{file_id}/events", {}),
        ("DELETE", f"/v2/knowledge/{{}}/files/{file_id}", {}),
        ("POST", f"/v2/knowledge/{{}}/files/{file_id}/reindex", {}),
        ("POST", "/v2/knowledge/{}/search", {"json": {"query": "x"}}),
        ("POST", "/v2/knowledge/{}/files", {"files": {"file": ("a.txt", b"x")}}),
    ]
    for method, path, body in asked:
        said = set[tuple[int, str]]()
        for tenant in ("other", "nobody", str(uuid.uuid4())):
            answer = await client.request(method, path.format(tenant), headers={"x-request-id": "same"}, **body)
            said.add((answer.status_code, answer.text))
        assert len(said) == 1
        assert said.pop()[0] == 404, (method, path)
