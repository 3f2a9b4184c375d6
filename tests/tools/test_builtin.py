from __future__ import annotations

import datetime as dt
import json
from itertools import permutations
from typing import Any

import pytest
from tests.knowledge.knowledge_scene import Scene as KnowledgeScene

from pointsman.kit.db import Connection, Database
from pointsman.kit.json_schema import JsonSchema
from pointsman.knowledge.library import Library
from pointsman.knowledge.searching import Asker
from pointsman.llm.port import ToolCall
from pointsman.sessions.memory import LONGEST, MOST_RECALLED, MemoryBook, Scope, recall
from pointsman.settings import Settings
from pointsman.tools.builtin import Builtins
from pointsman.turns.ports import ToolOutcome


@pytest.fixture
def scene(db: Database, owner: Connection, settings: Settings) -> KnowledgeScene:
    return KnowledgeScene.of(db, owner, settings)


ANN = Scope(tenant="acme", user_id="ann", agent_id="helper")
NONSENSE = ["{", "null", "[]", '"x"', "7", '{"unknown": 1}', "[" * 3000, '{"a": "\ud83d"}', '{"a": "\\ud83d"}', "\x00", '{"timezone": 7}']


def call(name: str, args: Any = None, number: int = 0) -> ToolCall:
    return ToolCall(f"call_{number}", name, args if isinstance(args, str) else json.dumps(args or {}))


def clock(timezone: str | None = None) -> Builtins:
    return Builtins(["current_time"], timezone=timezone, book=None)


@pytest.mark.parametrize(
    ("configured", "args", "zone"),
    [
        (None, {}, "UTC"),
        ("Europe/Berlin", {}, "Europe/Berlin"),
        ("Europe/Berlin", {"timezone": "Asia/Kolkata"}, "Asia/Kolkata"),
        ("Europe/Berlin", {"timezone": None}, "Europe/Berlin"),
        ("Europe/Berlin", {"timezone": ""}, "Europe/Berlin"),
        (None, "", "UTC"),
    ],
)
async def test_the_time_is_that_of_the_zone(configured: str | None, args: Any, zone: str) -> None:
    outcome = await clock(configured).call(call("current_time", args))
    said = json.loads(outcome.content)
    moment = dt.datetime.fromisoformat(said["time"])
    assert not outcome.is_error
    assert abs(moment - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=60)
    assert (said["timezone"], said["weekday"]) == (zone, moment.strftime("%A"))
    if zone == "Asia/Kolkata":
        assert moment.utcoffset() == dt.timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "a\x00b", "x" * 5000, "utc ", "Europe/Berlin\n", "."]
)
async def test_a_zone_that_does_not_exist_is_told_to_the_model(zone: str) -> None:
    outcome = await clock().call(call("current_time", {"timezone": zone}))
    assert outcome.is_error
    assert "There is no time zone" in outcome.content


@pytest.mark.parametrize("args", NONSENSE)
@pytest.mark.parametrize("tool", ["current_time", "memory", "think"])
async def test_arguments_that_make_no_sense_are_told_to_the_model(db: Database, tool: str, args: str) -> None:
    outcome = await Builtins([tool], timezone=None, book=MemoryBook(db, ANN, "run")).call(call(tool, args))
    assert outcome.is_error
    assert len(outcome.content) < 500


async def test_a_thought_is_noted() -> None:
    think = Builtins(["think"], timezone=None, book=None)
    assert await think.call(call("think", {"thought": "first things first"})) == ToolOutcome("Noted.")
    assert (await think.call(call("think", {"thought": ""}))).is_error


# --- memory


class Model:
    """What a model does with the memory tool in one run."""

    def __init__(self, db: Database, scope: Scope = ANN, run: str = "run1") -> None:
        self._tool = Builtins(["memory"], timezone=None, book=MemoryBook(db, scope, run))

    async def asks(self, number: int = 0, **args: Any) -> ToolOutcome:
        return await self._tool.call(call("memory", args, number))

    async def knows(self) -> list[str]:
        return [memory["content"] for memory in json.loads((await self.asks(action="recall")).content)]


async def test_what_is_remembered_is_recalled_by_the_same_agent_about_the_same_user(db: Database) -> None:
    await Model(db).asks(action="remember", content="  likes tea  ")
    assert await Model(db, run="run2").knows() == ["likes tea"]
    for other in (
        Scope("acme", "bob", "helper"),
        Scope("acme", "ann", "other"),
        Scope("globex", "ann", "helper"),
        Scope("", "ann", "helper"),
    ):
        assert await Model(db, other).knows() == []


async def test_a_step_that_is_repeated_after_a_crash_remembers_nothing_twice(db: Database) -> None:
    first = await Model(db).asks(3, action="remember", content="likes tea")
    assert await Model(db).asks(3, action="remember", content="likes tea") == first
    assert await Model(db).knows() == ["likes tea"]


async def test_two_facts_under_one_call_id_are_two_memories(db: Database) -> None:
    """Some providers number their calls anew in each answer."""
    await Model(db).asks(0, action="remember", content="likes tea")
    await Model(db).asks(0, action="remember", content="hates coffee")
    await Model(db, run="run2").asks(0, action="remember", content="likes tea")
    assert await Model(db).knows() == ["likes tea", "hates coffee", "likes tea"]


async def test_what_is_forgotten_is_gone_and_cannot_be_forgotten_again(db: Database, owner: Connection) -> None:
    remembered = json.loads((await Model(db).asks(action="remember", content="likes tea")).content)["id"]
    assert json.loads((await Model(db).asks(action="forget", id=remembered)).content) == {"forgotten": remembered}
    assert (await Model(db).asks(action="forget", id=remembered)).is_error
    assert await owner.fetchval("SELECT count(*) FROM memories") == 0


async def test_nobody_forgets_what_another_agent_remembers(db: Database) -> None:
    remembered = json.loads((await Model(db).asks(action="remember", content="likes tea")).content)["id"]
    for other in (Scope("acme", "bob", "helper"), Scope("acme", "ann", "other"), Scope("globex", "ann", "helper")):
        assert (await Model(db, other).asks(action="forget", id=remembered)).is_error
    assert await Model(db).knows() == ["likes tea"]


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"action": "remember"},
        {"action": "remember", "content": ""},
        {"action": "remember", "content": " \x00 "},
        {"action": "remember", "content": "x" * (LONGEST + 1)},
        {"action": "remember", "content": 7},
        {"action": "remember", "text": "likes tea"},
        {"action": "forget"},
        {"action": "forget", "id": ""},
        {"action": "forget", "id": "mem_none"},
        {"action": "forget", "id": "mem\x00"},
        {"action": "forget", "id": "x" * 5000},
        {"action": "shout"},
        {"action": None},
    ],
)
async def test_what_cannot_be_done_with_memory_is_told_to_the_model(db: Database, args: dict[str, Any]) -> None:
    outcome = await Model(db).asks(**args)
    assert outcome.is_error
    assert len(outcome.content) < 6000
    assert await Model(db).knows() == []


async def test_a_fact_may_be_as_long_as_a_memory_and_hold_any_letter(db: Database) -> None:
    fact = ("Ω🍵\n\t'\"\\{}" + "x" * LONGEST)[:LONGEST]
    assert not (await Model(db).asks(action="remember", content=f"{fact[:5]}\x00{fact[5:]}")).is_error
    assert await Model(db).knows() == [fact]


async def test_only_the_newest_memories_are_recalled_oldest_first(db: Database) -> None:
    for number in range(MOST_RECALLED + 3):
        await Model(db).asks(number, action="remember", content=f"fact {number}")
    assert await Model(db).knows() == [f"fact {number}" for number in range(3, MOST_RECALLED + 3)]
    async with db.connection() as connection:
        assert len(await recall(connection, ANN)) == MOST_RECALLED


def test_without_somebody_to_remember_there_is_no_memory_tool() -> None:
    assert Builtins(["memory", "think"], timezone=None, book=None).specs[0].name == "think"


# --- the offer


async def test_every_tool_that_is_offered_has_a_usable_schema(db: Database) -> None:
    for names in permutations(["current_time", "memory", "think"]):
        specs = Builtins(names, timezone=None, book=MemoryBook(db, ANN, "run")).specs
        assert tuple(spec.name for spec in specs) == names
        for spec in specs:
            assert spec.description
            assert spec.parameters["type"] == "object"
            assert JsonSchema(spec.parameters).errors({"nonsense": 1})


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("current_time", {}),
        ("current_time", {"timezone": "Europe/Berlin"}),
        ("memory", {"action": "recall"}),
        ("memory", {"action": "remember", "content": "x"}),
        ("memory", {"action": "forget", "id": "mem_1"}),
        ("think", {"thought": "hm"}),
    ],
)
async def test_what_a_tool_takes_is_what_its_schema_says(db: Database, tool: str, args: dict[str, Any]) -> None:
    [spec] = Builtins([tool], timezone=None, book=MemoryBook(db, ANN, "run")).specs
    assert JsonSchema(spec.parameters).errors(args) == ()


async def test_knowledge_is_searched_in_the_runs_tenant_and_its_passages_say_where_they_stand(scene: KnowledgeScene) -> None:
    await scene.upload("Tea is served at four.", name="rules.md")
    await scene.upload("The tea of the project is secret.", name="plan.md", file_type="project", collection_id="secret")
    await scene.upload("Tea of others.", tenant="other", name="others.md")
    await scene.index()

    async def found(*collections: str, **args: Any) -> ToolOutcome:
        tools = Builtins(["knowledge_search"], timezone=None, book=None, library=Library(scene.searcher, Asker("acme", 1), collections))
        return await tools.call(call("knowledge_search", args))

    [passage] = json.loads((await found(query="tea")).content)
    assert passage | {"file_id": ""} == {
        "file": "rules.md", "page": 1, "heading": "rules.md", "file_id": "", "content": "Tea is served at four."
    }  # fmt: skip
    assert {hit["file"] for hit in json.loads((await found("secret", query="tea")).content)} == {"rules.md", "plan.md"}
    assert json.loads((await found(query="coffee")).content) == []
    assert (await found(query=" \x00")).is_error
    assert (await found(question="tea")).is_error
    assert (await found(query="tea", tenant="other")).is_error
