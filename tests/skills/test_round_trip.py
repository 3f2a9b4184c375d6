from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import skills_ref
from tests.skills.collection import COLLECTION, CRLF, RELEASE_NOTES, UNICODE, UNIT_CONVERTER, Folder
from tests.skills.zips import unzipped, zipped


async def imported(api: httpx.AsyncClient, data: bytes, **query: Any) -> dict[str, Any]:
    answer = await api.post("/v2/skills/import", params=query, files={"file": ("skill.zip", data, "application/zip")})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def exported(api: httpx.AsyncClient, skill_id: str, folder: Path, **query: Any) -> Path:
    answer = await api.get(f"/v2/skills/{skill_id}/export", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), answer.text
    return unzipped(answer.content, folder)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


def expected(folder: Folder) -> dict[str, tuple[bytes, int]]:
    return {path: (content, folder.mode(path)) for path, content in folder.files.items()}


async def test_every_skill_of_the_collection_comes_back_byte_for_byte_and_is_valid(api: httpx.AsyncClient, tmp_path: Path) -> None:
    assert len(COLLECTION) >= 10
    for folder in COLLECTION:
        skill = await imported(api, zipped(folder))
        back = await exported(api, skill["id"], tmp_path)
        assert back.name == folder.name
        assert contents(back) == expected(folder)
        assert skills_ref.validate(back) == []
        _is_read_as_the_reference_does(skill, back)


def _is_read_as_the_reference_does(skill: dict[str, Any], folder: Path) -> None:
    said = skills_ref.read_properties(folder)
    assert (skill["name"], skill["description"]) == (said.name, said.description)
    assert (skill["license"], skill["compatibility"]) == (said.license, said.compatibility)
    own = {name: value for name, value in (said.metadata or {}).items() if name not in {"category", "tags"}}
    assert skill["metadata"] == own


async def test_an_edited_skill_is_written_anew_valid_and_otherwise_as_it_was(api: httpx.AsyncClient, tmp_path: Path) -> None:
    for folder in COLLECTION:
        await _edit_and_compare(api, tmp_path / folder.name, folder)


async def _edit_and_compare(api: httpx.AsyncClient, tmp_path: Path, folder: Folder) -> None:
    skill = await imported(api, zipped(folder))
    change = {"description": 'Now "quoted": --- # it\'s 100 % new\n\u2028and 🌍.', "category": "tests", "tags": ["one", "two"]}
    assert (await api.patch(f"/v2/skills/{skill['id']}", json=change)).json()["version"] == 2
    back = await exported(api, skill["id"], tmp_path / "new")
    assert skills_ref.validate(back) == []
    said = skills_ref.read_properties(back)
    assert said.description == change["description"]
    assert (said.metadata or {}) == skill["metadata"] | {"category": "tests", "tags": "one, two"}
    others = {path: file for path, file in expected(folder).items() if path != "SKILL.md"}
    assert {path: file for path, file in contents(back).items() if path != "SKILL.md"} == others
    assert contents(await exported(api, skill["id"], tmp_path / "old", version=1)) == expected(folder)
    again = await imported(api, (await api.get(f"/v2/skills/{skill['id']}/export")).content, id=f"{skill['id']}-again")
    same = ("name", "description", "instructions", "category", "tags", "allowed_tools", "license", "compatibility", "metadata")
    now = (await api.get(f"/v2/skills/{skill['id']}")).json()
    assert {name: again[name] for name in same} == {name: now[name] for name in same}


async def test_a_folder_is_imported_file_by_file(api: httpx.AsyncClient, tmp_path: Path) -> None:
    for field, folder in (("file", UNIT_CONVERTER), ("files", UNICODE), ("file", CRLF)):
        parts = [(field, (f"{folder.name}/{path}", content)) for path, content in folder.files.items()]
        answer = await api.post("/v2/skills/import", files=parts)
        assert answer.status_code == 201, answer.text
        back = contents(await exported(api, answer.json()["id"], tmp_path))
        assert {path: content for path, (content, _) in back.items()} == folder.files


async def test_a_lone_manifest_and_a_zip_without_a_folder_are_skills(api: httpx.AsyncClient, tmp_path: Path) -> None:
    answer = await api.post("/v2/skills/import", files={"file": ("SKILL.md", RELEASE_NOTES.files["SKILL.md"])}, params={"id": "lone"})
    assert (answer.status_code, answer.json()["id"]) == (201, "lone"), answer.text
    await imported(api, zipped(RELEASE_NOTES, top=""))
    assert contents(await exported(api, "release-notes", tmp_path)) == expected(RELEASE_NOTES)


async def test_the_columns_hold_what_the_folder_says(api: httpx.AsyncClient) -> None:
    skill = await imported(api, zipped(RELEASE_NOTES))
    assert (skill["id"], skill["name"], skill["version"]) == ("release-notes", "release-notes", 1)
    assert (skill["license"], skill["category"], skill["tags"]) == ("Apache-2.0", "writing", ["release", "changelog"])
    assert skill["metadata"] == {"author": "docs-team", "version": "1.4"}
    assert skill["instructions"].startswith("# Release notes")
    assert skill["references"] == [{"name": "tone.md", "content": RELEASE_NOTES.files["references/tone.md"].decode()}]
    skill = await imported(api, zipped(UNIT_CONVERTER))
    assert skill["allowed_tools"] == ["current_time", "memory(recall *)"]
    assert [script["name"] for script in skill["scripts"]] == ["convert.py"]
    assert [file["path"] for file in skill["files"] if file["executable"]] == ["scripts/convert.py"]


NAMES = {"Invoice helper (v2)": "invoice-helper-v2", "äöü & Straße": "aou-strae", "--": "s-1", "ok-name": "ok-name", "你好": "你好"}


async def test_a_skill_made_without_a_folder_is_exported_as_a_valid_one(api: httpx.AsyncClient, tmp_path: Path) -> None:
    body = {"id": "S.1", "name": "-", "instructions": "---\nDo it.", "scripts": [{"name": "go.py", "content": "print(1)\n"}]}
    assert (await api.post("/v2/skills", json=body)).status_code == 201
    for name, written in NAMES.items():
        assert (await api.patch("/v2/skills/S.1", json={"name": name})).status_code == 200
        back = await exported(api, "S.1", tmp_path)
        assert back.name == written
        assert skills_ref.validate(back) == []
        assert contents(back)["scripts/go.py"] == (b"print(1)\n", 0o755)


async def test_the_same_skill_is_the_same_archive(api: httpx.AsyncClient) -> None:
    await imported(api, zipped(UNICODE), id="one")
    first, second = [(await api.get("/v2/skills/one/export")).content for _ in range(2)]
    assert first == second
