from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.sessions.session_scene import OPERATOR, principal

from pointsman.kit.db import Connection
from pointsman.sessions.errors import MemoryNotFound
from pointsman.sessions.memory import LONGEST
from pointsman.sessions.schemas import MemoryCreate, MemoryUpdate
from pointsman.sessions.service import MemoryService

TEA: dict[str, Any] = {"user_id": "ann", "agent_id": "helper", "content": "likes tea"}
ACME, GLOBEX = principal(owner="acme"), principal(owner="globex")


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/memories", json={**TEA, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v2/memories/{answer.json()['id']}"
    return answer.json()


async def test_a_memory_is_made_read_mended_and_truly_deleted(api: httpx.AsyncClient, owner: Connection) -> None:
    memory = await made(api, content="  likes tea \n")
    made_up = {name: memory[name] for name in ("id", "created_at", "updated_at")}
    assert memory == TEA | made_up | {"tenant_id": None, "run_id": None}
    assert memory["id"].startswith("mem_")
    path = f"/v2/memories/{memory['id']}"
    assert (await api.get(path)).json() == memory
    mended = (await api.patch(path, json={"content": "likes coffee"})).json()
    assert mended == memory | {"content": "likes coffee", "updated_at": mended["updated_at"]}
    assert mended["updated_at"] > memory["updated_at"]
    assert (await api.get(path)).json() == mended
    for _ in range(2):
        assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).json()["code"] == "memory-not-found"
    assert (await api.patch(path, json={"content": "x"})).json()["code"] == "memory-not-found"
    assert await owner.fetchval("SELECT count(*) FROM memories") == 0


@pytest.mark.parametrize("patch", [{}, {"content": "likes tea"}])
async def test_a_patch_that_changes_nothing_changes_nothing(api: httpx.AsyncClient, patch: dict[str, Any]) -> None:
    memory = await made(api)
    answer = await api.patch(f"/v2/memories/{memory['id']}", json=patch)
    assert (answer.status_code, answer.json()) == (200, memory)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"content": ""}, "/content"),
        ({"content": "  "}, "/content"),
        ({"content": "x" * (LONGEST + 1)}, "/content"),
        ({"content": None}, "/content"),
        ({"content": 7}, "/content"),
        ({"user_id": None}, "/user_id"),
        ({"user_id": "a/b"}, "/user_id"),
        ({"agent_id": ""}, "/agent_id"),
        ({"run_id": "run_1"}, "/run_id"),
        ({"tenant_id": "acme"}, "/tenant_id"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(api: httpx.AsyncClient, fields: dict[str, Any], pointer: str) -> None:
    refused = await api.post("/v2/memories", json=TEA | fields)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize("patch", [{"content": None}, {"content": ""}, {"user_id": "bob"}, {"id": "x"}])
async def test_only_the_content_can_be_mended(api: httpx.AsyncClient, patch: dict[str, Any]) -> None:
    memory = await made(api)
    assert (await api.patch(f"/v2/memories/{memory['id']}", json=patch)).status_code == 422
    assert (await api.get(f"/v2/memories/{memory['id']}")).json() == memory


async def test_memories_are_listed_newest_first_by_user_and_agent(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await made(api, content=f"fact {number}", user_id=("ann", "bob")[number % 2], agent_id=("helper", "other")[number // 4])
    for query, wanted in (
        ("", [4, 3, 2, 1, 0]),
        ("user_id=ann", [4, 2, 0]),
        ("agent_id=helper", [3, 2, 1, 0]),
        ("user_id=ann&agent_id=other", [4]),
    ):
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await api.get(f"/v2/memories?{query}&limit=2{cursor}")).json()
            seen += [memory["content"] for memory in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == [f"fact {number}" for number in wanted]


async def test_a_tenant_touches_its_own_memories_only(memories: MemoryService) -> None:
    body = MemoryCreate(**TEA)
    mine, theirs, operators = [await memories.create(who, body) for who in (ACME, GLOBEX, OPERATOR)]
    assert [memory.tenant_id for memory in (mine, theirs, operators)] == ["acme", "globex", None]
    for other in (theirs, operators):
        with pytest.raises(MemoryNotFound):
            await memories.require_memory(ACME, other.id)
        with pytest.raises(MemoryNotFound):
            await memories.update(ACME, other.id, MemoryUpdate(content="mine now"))
        await memories.delete(ACME, other.id)
        assert await memories.require_memory(OPERATOR, other.id) == other
    for who, wanted in ((ACME, {mine.id}), (OPERATOR, {mine.id, theirs.id, operators.id}), (principal(tenant="globex"), {theirs.id})):
        page = await memories.list_memories(who, user_id="ann", agent_id=None, limit=50, cursor=None)
        assert {memory.id for memory in page.items} == wanted


async def test_a_memory_for_an_agent_that_does_not_exist_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/memories", json={**TEA, "agent_id": "nobody"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "agent-not-found"
    assert (await api.get("/v2/memories")).json()["items"] == []
