from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once
from tests.skills.collection import BINARY, UNIT_CONVERTER
from tests.skills.zips import zipped

from pointsman.kit.db import Connection
from pointsman.skills.schemas import SkillCreate, SkillPatch
from pointsman.skills.service import SkillService

TONE: dict[str, Any] = {"id": "tone", "name": "tone", "description": "How we write.", "instructions": "Short sentences."}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/skills", json={**TONE, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


async def test_a_skill_is_read_back_as_it_was_made(api: httpx.AsyncClient) -> None:
    body = TONE | {
        "category": "writing",
        "references": [{"name": "examples.md", "content": "Like this.\r\n"}, {"name": "more/b.md", "content": ""}],
        "scripts": [{"name": "count.py", "content": "print(1)\n"}],
        "allowed_tools": ["current_time", "memory(recall *)"],
        "tags": ["style"],
        "license": "MIT",
        "compatibility": "Any.",
        "metadata": {"author": "Ann"},
    }
    answer = await api.post("/v2/skills", json=body)
    assert (answer.status_code, answer.headers["location"]) == (201, "/v2/skills/tone")
    skill = answer.json()
    assert {name: skill[name] for name in body} == body
    assert (skill["version"], skill["is_active"]) == (1, True)
    assert [file["path"] for file in skill["files"]] == ["references/examples.md", "references/more/b.md", "scripts/count.py"]
    assert (await api.get("/v2/skills/tone")).json() == skill


async def test_an_edit_makes_a_version_and_nothing_is_lost(api: httpx.AsyncClient) -> None:
    await made(api, references=[{"name": "a.md", "content": "A"}], metadata={"author": "Ann", "old": "1"})
    changed = (await api.patch("/v2/skills/tone", json={"instructions": "Long ones.", "metadata": {"old": None, "new": "2"}})).json()
    assert (changed["version"], changed["instructions"], changed["metadata"]) == (2, "Long ones.", {"author": "Ann", "new": "2"})
    assert changed["references"] == [{"name": "a.md", "content": "A"}]
    assert (await api.patch("/v2/skills/tone", json={"instructions": "Long ones."})).json()["version"] == 2
    assert (await api.patch("/v2/skills/tone", json={"references": []})).json()["version"] == 3
    versions = (await api.get("/v2/skills/tone/versions")).json()["items"]
    assert [(version["version"], version["created_by"]) for version in versions] == [(3, "editor"), (2, "editor"), (1, "editor")]
    first = (await api.get("/v2/skills/tone/versions/1")).json()
    assert (first["instructions"], first["references"]) == ("Short sentences.", [{"name": "a.md", "content": "A"}])
    back = (await api.post("/v2/skills/tone/rollback", json={"version": 1})).json()
    assert (back["version"], back["instructions"], back["metadata"]) == (4, "Short sentences.", {"author": "Ann", "old": "1"})
    problem(await api.get("/v2/skills/tone/versions/9"), 404, "skill-version-not-found")
    problem(await api.get("/v2/skills/tone/versions/x"), 404, "skill-version-not-found")
    problem(await api.post("/v2/skills/tone/rollback", json={"version": 9}), 404, "skill-version-not-found")


async def test_a_deleted_skill_is_absent_and_comes_back_as_its_next_version(api: httpx.AsyncClient) -> None:
    await made(api)
    assert [(await api.delete("/v2/skills/tone")).status_code for _ in range(2)] == [204, 204]
    for path in ("", "/export", "/versions", "/versions/1"):
        problem(await api.get(f"/v2/skills/tone{path}"), 404, "skill-not-found")
    problem(await api.patch("/v2/skills/tone", json={"description": "x"}), 404, "skill-not-found")
    problem(await api.delete("/v2/skills/none"), 404, "skill-not-found")
    assert (await api.get("/v2/skills")).json()["items"] == []
    assert [item["is_active"] for item in (await api.get("/v2/skills?include_inactive=true")).json()["items"]] == [False]
    assert (await made(api, instructions="Anew."))["version"] == 2
    assert (await api.get("/v2/skills/tone/versions/1")).json()["instructions"] == "Short sentences."


async def test_a_taken_id_is_refused_and_an_import_may_replace(api: httpx.AsyncClient) -> None:
    upload = {"file": ("skill.zip", zipped(UNIT_CONVERTER), "application/zip")}
    assert (await api.post("/v2/skills/import", files=upload)).status_code == 201
    problem(await api.post("/v2/skills/import", files=upload), 409, "skill-exists")
    problem(await api.post("/v2/skills", json=TONE | {"id": "unit-converter"}), 409, "skill-exists")
    again = await api.post("/v2/skills/import?replace=true", files=upload)
    assert (again.status_code, again.json()["version"]) == (201, 1)
    other = {"file": ("skill.zip", zipped(BINARY), "application/zip")}
    replaced = await api.post("/v2/skills/import?replace=true&id=unit-converter", files=other)
    assert (replaced.json()["version"], replaced.json()["name"]) == (2, "brand-assets")


async def test_skills_are_filtered_and_paged(api: httpx.AsyncClient) -> None:
    for number, (category, tags) in enumerate([("writing", ["a"]), ("writing", ["a", "b"]), ("data", ["b"])]):
        await made(api, id=f"s{number}", category=category, tags=tags, description=f"Number {number}")

    async def ids(query: str) -> list[str]:
        return [item["id"] for item in (await api.get(f"/v2/skills?{query}")).json()["items"]]

    assert await ids("category=writing") == ["s0", "s1"]
    assert await ids("tag=a&tag=b") == ["s1"]
    assert await ids("q=NUMBER 2") == ["s2"]
    page = (await api.get("/v2/skills?limit=2")).json()
    assert [item["id"] for item in page["items"]] == ["s0", "s1"]
    assert await ids(f"cursor={page['next_cursor']}") == ["s2"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": "a/b"}, "/id"),
        ({"name": " "}, "/name"),
        ({"instructions": ""}, "/instructions"),
        ({"description": "x" * 1025}, "/description"),
        ({"allowed_tools": ["two tools"]}, "/allowed_tools/0"),
        ({"references": [{"name": "a", "content": ""}, {"name": "a", "content": ""}]}, "/references"),
        ({"instruction": "x"}, "/instruction"),
    ],
)
async def test_what_is_wrong_is_named(api: httpx.AsyncClient, fields: dict[str, Any], pointer: str) -> None:
    refused = problem(await api.post("/v2/skills", json=TONE | fields), 422, "invalid-request")
    assert pointer in [error["pointer"] for error in refused["errors"]], refused


async def test_names_of_files_cannot_lead_out_of_the_skill(api: httpx.AsyncClient) -> None:
    for name in ("../x", "/x", "a/../b", "a\\b", "a//b"):
        body = TONE | {"scripts": [{"name": name, "content": ""}]}
        problem(await api.post("/v2/skills", json=body), 422, "skill-archive-refused")
    body = TONE | {"references": [{"name": "a.md", "content": "1"}, {"name": "A.md", "content": "2"}]}
    problem(await api.post("/v2/skills", json=body), 422, "skill-archive-refused")


async def test_edits_at_once_each_get_a_version_of_their_own(skills: SkillService) -> None:
    await skills.create_skill(CALLER, SkillCreate(**TONE))
    edits = [lambda n=n: skills.update_skill(CALLER, "tone", SkillPatch(instructions=f"Number {n}.")) for n in range(4)]
    assert sorted(skill.version for skill in await at_once(*edits)) == [2, 3, 4, 5]


async def test_changes_are_in_the_log_and_files_are_kept_once(api: httpx.AsyncClient, owner: Connection) -> None:
    upload = {"file": ("skill.zip", zipped(BINARY), "application/zip")}
    for skill_id in ("one", "two"):
        await api.post(f"/v2/skills/import?id={skill_id}", files=upload)
    await api.patch("/v2/skills/one", json={"category": "brand"})
    await api.post("/v2/skills/one/rollback", json={"version": 1})
    await api.delete("/v2/skills/one")
    actions = await owner.fetch("SELECT action FROM audit_log WHERE object_type = 'skill' AND object_id = 'one' ORDER BY id")
    assert [row["action"] for row in actions] == ["skill.imported", "skill.updated", "skill.rolled_back", "skill.deleted"]
    assert await owner.fetchval("SELECT count(*) FROM skill_blobs") == len(set(BINARY.files.values()))
