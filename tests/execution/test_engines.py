"""Engines as data, over HTTP: made, read, changed, deleted and made again; and what a typo is told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once

from pointsman.execution.errors import OperatorOnly
from pointsman.execution.schemas import EngineCreate, EnginePatch
from pointsman.execution.service import EngineService
from pointsman.kit.db import Connection
from pointsman.kit.principal import Principal

COMMANDS: dict[str, Any] = {"id": "commands", "name": "Commands", "type": "direct_ops"}
TENANT = Principal(key_id=2, key_name="theirs", owner_id="acme", scopes=frozenset({"admin"}), tenant="acme")


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/engines", json={**COMMANDS, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def told(answer: httpx.Response, status: int, code: str) -> list[tuple[str, str]]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return [(error["pointer"], error["message"]) for error in answer.json().get("errors", [])]


async def test_an_engine_is_read_back_with_its_defaults(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/engines", json={"id": "agent", "name": " Agent ", "type": "code_agent", "description": "d"})
    assert answer.headers["location"] == "/v2/engines/agent"
    engine = answer.json()
    assert (engine["name"], engine["provider"], engine["is_default"], engine["is_active"]) == ("Agent", "anthropic", False, True)
    assert {name: engine["handler_config"][name] for name in ("handler", "max_steps")} == {"handler": "builtin", "max_steps": 64}
    assert (await api.get("/v2/engines/agent")).json() == engine
    assert [one["id"] for one in (await api.get("/v2/engines?type=code_agent")).json()["items"]] == ["agent"]
    assert (await api.get("/v2/engines?type=custom")).json()["items"] == []


async def test_a_script_is_read_back_as_it_was_written(api: httpx.AsyncClient) -> None:
    script = {"turns": [{"text": "Done."}]}
    config = {"model": "scripted:story", "script": script}
    assert (await made(api, id="agent", type="code_agent", handler_config=config))["handler_config"]["script"] == script


async def test_an_unknown_model_is_refused_where_it_is_named(api: httpx.AsyncClient) -> None:
    config = {"model": "scripted:echo", "model_fallbacks": ["antropic:x"]}
    answer = await api.post("/v2/engines", json={**COMMANDS, "type": "code_agent", "handler_config": config})
    assert told(answer, 422, "model-unknown")[0][0] == "/handler_config/model_fallbacks/0"
    assert "Did you mean anthropic:x?" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("kind", "config", "pointer", "message"),
    [
        ("direct_ops", {"polcy": {}}, "/handler_config/polcy", "Unknown field 'polcy'. Did you mean 'policy'?"),
        ("code_agent", {"max_step": 1}, "/handler_config/max_step", "Unknown field 'max_step'. Did you mean 'max_steps'?"),
        ("code_agent", {"handler": "client"}, "/handler_config/handler", "The handler of a code_agent is 'builtin' or 'cli'."),
        ("code_agent", {"handler": "cli"}, "/handler_config/argv", "Field 'argv' is required."),
        (
            "code_agent",
            {"policy": {"dangerus": []}},
            "/handler_config/policy/dangerus",
            "Unknown field 'dangerus'. Did you mean 'dangerous'?",
        ),
        ("custom", {}, "/handler_config", "Give either endpoint or entry_point."),
        (
            "custom",
            {"endpoint": {"url": "https://x.example", "secret": "whsec_aaaaaaaaaaaaaaaaaaaaaaaa"}},
            "/handler_config/endpoint/secret",
            'A secret is given by reference: set POINTSMAN_SECRETS__<NAME> and write {"secret": "<name>"} here.',
        ),
    ],
)
async def test_a_wrong_config_is_told_where_and_how(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any], pointer: str, message: str
) -> None:
    answer = await api.post("/v2/engines", json={**COMMANDS, "type": kind, "handler_config": config})
    assert told(answer, 422, "invalid-request") == [(pointer, message)]


async def test_a_merge_patch_reaches_into_the_config(api: httpx.AsyncClient) -> None:
    await made(api, id="agent", type="code_agent", handler_config={"max_steps": 5, "instructions": "Be brief."})
    changed = (await api.patch("/v2/engines/agent", json={"handler_config": {"max_steps": None, "tool_timeout": 9}})).json()
    config = changed["handler_config"]
    assert (config["max_steps"], config["tool_timeout"], config["instructions"]) == (64, 9, "Be brief.")
    answer = await api.patch("/v2/engines/agent", json={"handler_config": {"model": "none"}})
    assert told(answer, 422, "model-unknown")[0][0] == "/handler_config/model"
    # The handler's kind changes with a patch as long as the whole makes sense.
    patch = {"handler": "cli", "argv": ["agent", "{prompt}"], **dict.fromkeys(("max_steps", "tool_timeout", "instructions"))}
    answer = await api.patch("/v2/engines/agent", json={"handler_config": patch | {"model_settings": None, "model_fallbacks": None}})
    assert answer.json()["handler_config"]["argv"] == ["agent", "{prompt}"]


async def test_the_type_of_an_engine_stays(api: httpx.AsyncClient) -> None:
    await made(api)
    assert told(await api.patch("/v2/engines/commands", json={"type": "custom"}), 422, "invalid-request")[0][0] == "/type"


async def test_a_second_engine_of_an_id_is_refused_and_a_deleted_one_comes_back(api: httpx.AsyncClient, owner: Connection) -> None:
    first = await made(api)
    told(await api.post("/v2/engines", json=COMMANDS), 409, "engine-exists")
    for _ in range(2):
        assert (await api.delete("/v2/engines/commands")).status_code == 204
    told(await api.get("/v2/engines/commands"), 404, "engine-not-found")
    assert (await api.get("/v2/engines")).json()["items"] == []
    assert [one["is_active"] for one in (await api.get("/v2/engines?include_inactive=true")).json()["items"]] == [False]
    again = await made(api, name="Again", type="code_agent")
    assert (again["name"], again["type"], again["created_at"]) == ("Again", "code_agent", first["created_at"])
    actions = [row["action"] for row in await owner.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["engine.created", "engine.deleted", "engine.restored"]


async def test_a_mistyped_id_is_told_which_was_meant(api: httpx.AsyncClient) -> None:
    await made(api)
    answer = await api.get("/v2/engines/comands")
    told(answer, 404, "engine-not-found")
    assert answer.json()["hint"] == "Did you mean 'commands'?"


async def test_at_most_one_engine_is_the_default(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api, is_default=True)
    await made(api, id="second", is_default=True)
    assert await defaults(owner) == ["second"]
    await api.patch("/v2/engines/commands", json={"is_default": True})
    assert await defaults(owner) == ["commands"]
    await api.delete("/v2/engines/commands")
    assert await defaults(owner) == []
    await made(api, name="Back")
    assert await defaults(owner) == []


async def test_of_many_that_are_made_the_default_at_once_one_is_left(engines: EngineService, owner: Connection) -> None:
    for number in range(6):
        await engines.create_engine(CALLER, EngineCreate.model_validate({**COMMANDS, "id": f"e{number}"}))
    patch = EnginePatch(is_default=True)
    outcomes = await at_once(*(lambda n=n: engines.update_engine(CALLER, f"e{n}", patch) for n in range(6)))
    assert [outcome for outcome in outcomes if isinstance(outcome, BaseException)] == []
    assert len(await defaults(owner)) == 1


async def test_of_many_that_make_the_same_id_one_wins(engines: EngineService) -> None:
    body = EngineCreate.model_validate(COMMANDS)
    outcomes = await at_once(*(lambda: engines.create_engine(CALLER, body) for _ in range(6)))
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_a_key_of_a_tenant_changes_nothing(engines: EngineService) -> None:
    await engines.create_engine(CALLER, EngineCreate.model_validate(COMMANDS))
    with pytest.raises(OperatorOnly):
        await engines.create_engine(TENANT, EngineCreate.model_validate({**COMMANDS, "id": "other"}))
    with pytest.raises(OperatorOnly):
        await engines.update_engine(TENANT, "commands", EnginePatch(name="Mine"))
    with pytest.raises(OperatorOnly):
        await engines.delete_engine(TENANT, "commands")


async def test_a_patch_that_changes_nothing_leaves_no_trace(api: httpx.AsyncClient, owner: Connection) -> None:
    engine = await made(api)
    assert (await api.patch("/v2/engines/commands", json={"name": "Commands", "handler_config": {}})).json() == engine
    assert await owner.fetchval("SELECT count(*) FROM audit_log") == 1


async def defaults(owner: Connection) -> list[str]:
    return [row["id"] for row in await owner.fetch("SELECT id FROM execution_engines WHERE is_default ORDER BY id")]
