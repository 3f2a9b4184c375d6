from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once

from pointsman.agents.errors import AgentExists
from pointsman.agents.resolve import Catalogue
from pointsman.agents.schemas import AgentCreate, AgentPatch
from pointsman.agents.service import AgentService
from pointsman.kit.db import Connection
from pointsman.prompts.schemas import PromptPatch
from pointsman.prompts.service import PromptService

CONFIG: dict[str, Any] = {"model": "scripted:echo"}
HELPER: dict[str, Any] = {"id": "helper", "name": "Helper", "template": "Help {user}.", "config": CONFIG}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    body = {name: value for name, value in {**HELPER, **fields}.items() if value is not None}
    answer = await api.post("/v2/agents", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def prompt_made(api: httpx.AsyncClient, prompt_id: str = "shared", *edits: str) -> None:
    body = {"id": prompt_id, "name": "Shared", "template": "Version 1"}
    assert (await api.post("/v2/prompts", json=body)).status_code == 201
    for template in edits:
        assert (await api.patch(f"/v2/prompts/{prompt_id}", json={"template": template})).status_code == 200


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


async def test_an_agent_is_read_back_with_its_defaults(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/agents", json=HELPER | {"tags": ["x"], "description": "d"})
    assert answer.headers["location"] == "/v2/agents/helper"
    agent = answer.json()
    assert {name: agent[name] for name in ("id", "name", "description", "version", "prompt_service_id", "tags")} == {
        "id": "helper",
        "name": "Helper",
        "description": "d",
        "version": "2.0",
        "prompt_service_id": "helper",
        "tags": ["x"],
    }
    assert agent["config"] == {
        "model": "scripted:echo",
        "model_fallbacks": [],
        "model_settings": {},
        "enable_memory": True,
        "enable_history": True,
        "num_history_runs": 3,
        "enable_reasoning": False,
        "reasoning_min_steps": 1,
        "reasoning_max_steps": 10,
        "tools": [],
        "skills": [],
    }
    assert (agent["prompt_version"], agent["prompt_label"], agent["is_active"]) == (None, None, True)
    assert (await api.get("/v2/agents/helper")).json() == agent
    prompt = (await api.get("/v2/prompts/helper")).json()
    assert (prompt["name"], prompt["template"], prompt["version"]) == ("Helper", "Help {user}.", 1)


async def test_a_full_config_is_read_back_as_it_was_written(api: httpx.AsyncClient) -> None:
    config: dict[str, Any] = {
        "model": "scripted:story",
        "model_fallbacks": ["scripted:other", "scripted:echo"],
        "model_settings": {"temperature": 0.5, "max_tokens": 100, "stop_sequences": ["END"]},
        "enable_memory": False,
        "enable_history": False,
        "num_history_runs": 7,
        "enable_reasoning": True,
        "reasoning_min_steps": 2,
        "reasoning_max_steps": 4,
        "tools": [{"type": "builtin", "name": "memory"}, {"type": "builtin", "name": "current_time", "timezone": "Asia/Tokyo"}],
        "skills": [],
        "output_schema": {"type": "object", "properties": {"a": {"type": ["string", "null"], "default": None}}, "required": ["a"]},
        "script": {"turns": [{"output": {"a": None}, "usage": {"prompt_tokens": 3}}, {"error": {"status": 503}}]},
    }
    assert (await made(api, config=config))["config"] == config
    assert (await api.get("/v2/agents/helper")).json()["config"] == config


async def test_an_id_is_made_where_none_was_chosen_and_names_may_repeat(api: httpx.AsyncClient) -> None:
    first, second = await made(api, id=None, template="one"), await made(api, id=None, template="two")
    assert first["name"] == second["name"]
    assert first["id"] != second["id"]
    assert first["id"].startswith("agt_")
    templates = [(await api.get(f"/v2/prompts/{agent['prompt_service_id']}")).json()["template"] for agent in (first, second)]
    assert templates == ["one", "two"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"config": {}}, "/config/model"),
        ({"config": CONFIG | {"temprature": 1}}, "/config/temprature"),
        ({"config": CONFIG | {"model_settings": {"temperature": 9}}}, "/config/model_settings/temperature"),
        ({"config": CONFIG | {"model_settings": {"presence_penalty": False}}}, "/config/model_settings/presence_penalty"),
        ({"config": CONFIG | {"model_settings": {"seed": True}}}, "/config/model_settings/seed"),
        ({"config": CONFIG | {"enable_memory": "yes"}}, "/config/enable_memory"),
        ({"config": CONFIG | {"num_history_runs": 101}}, "/config/num_history_runs"),
        ({"config": CONFIG | {"num_history_runs": True}}, "/config/num_history_runs"),
        ({"config": CONFIG | {"reasoning_min_steps": 5, "reasoning_max_steps": 4}}, "/config"),
        ({"config": CONFIG | {"model_fallbacks": ["scripted:echo"]}}, "/config"),
        ({"config": CONFIG | {"script": {"turns": [{"text": "x"}]}}}, "/config"),
        ({"config": {"model": "scripted:story"}}, "/config"),
        ({"config": {"model": "openai:gpt-x", "script": {"turns": [{"text": "x"}]}}}, "/config"),
        ({"config": {"model": "scripted:story", "script": {"turns": [{}]}}}, "/config/script/turns/0"),
        ({"config": CONFIG | {"tools": [{"type": "builtin", "name": "thinc"}]}}, "/config/tools/0/name"),
        ({"config": CONFIG | {"output_schema": {"type": "array"}}}, "/config/output_schema"),
        ({"config": CONFIG | {"output_schema": {"type": "object", "$defs": {"x": {"type": "strng"}}}}}, "/config/output_schema"),
        ({"config": None}, "/config"),
        ({"name": ""}, "/name"),
        ({"version": "1.0"}, "/version"),
        ({"template": None}, ""),
        ({"prompt_service_id": "x"}, ""),
        ({"prompt_version": 1}, ""),
        ({"id": "../x"}, "/id"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(api: httpx.AsyncClient, fields: dict[str, Any], pointer: str) -> None:
    refused = problem(await api.post("/v2/agents", json=HELPER | fields), 422, "invalid-request")
    assert refused["errors"][0]["pointer"] == pointer
    assert (await api.get("/v2/prompts/helper")).status_code == 404


async def test_a_number_that_json_cannot_hold_is_refused(api: httpx.AsyncClient) -> None:
    schema = '{"type": "object", "properties": {"a": {"default": 1e400}}}'
    body = f'{{"name": "n", "template": "t", "config": {{"model": "scripted:echo", "output_schema": {schema}}}}}'
    answer = await api.post("/v2/agents", content=body, headers={"content-type": "application/json"})
    assert problem(answer, 422, "invalid-request")["errors"][0]["message"] == "A number is too large."


@pytest.mark.parametrize(
    ("field", "pointer"),
    [
        ({"worker_config": {"hooks": [{"event": "start", "hook_type": "http", "command_or_url": "x"}]}}, "/config/worker_config/hooks"),
        ({"worker_config": {"mcp_servers": [{"name": "m", "type": "http", "url": "x"}]}}, "/config/worker_config/mcp_servers"),
    ],
)
async def test_what_nothing_would_act_on_is_refused_and_not_stored(api: httpx.AsyncClient, field: dict[str, Any], pointer: str) -> None:
    refused = problem(await api.post("/v2/agents", json=HELPER | {"config": CONFIG | field}), 422, "not-supported-yet")
    assert [error["pointer"] for error in refused["errors"]] == [pointer]
    agent = await made(api)
    problem(await api.patch("/v2/agents/helper", json={"config": field}), 422, "not-supported-yet")
    assert (await api.get("/v2/agents/helper")).json() == agent


async def test_what_an_agent_may_do_is_read_back_with_its_defaults(api: httpx.AsyncClient) -> None:
    asked = {"permissions": {"ask": ["memory(forget *)"]}, "allowed_tools": ["memory"]}
    agent = await made(api, config=CONFIG | {"worker_config": asked})
    kept = agent["config"]["worker_config"]
    assert kept["permissions"] == {"allow": [], "deny": [], "ask": ["memory(forget *)"]}
    assert (kept["allowed_tools"], kept["worker_pool"]) == (["memory"], "linux_worker_pool")
    refused = problem(await api.patch("/v2/agents/helper", json={"config": {"worker_config": {"permissons": {}}}}), 422, "invalid-request")
    assert refused["errors"][0]["pointer"] == "/config/worker_config/permissons"


async def test_a_model_is_checked_and_the_problem_says_where(api: httpx.AsyncClient) -> None:
    refused = problem(await api.post("/v2/agents", json=HELPER | {"config": {"model": "opnai:gpt"}}), 422, "model-unknown")
    assert refused["errors"][0]["pointer"] == "/config/model"
    refused = problem(await api.post("/v2/agents", json=HELPER | {"config": CONFIG | {"model_fallbacks": ["gpt"]}}), 422, "model-unknown")
    assert refused["errors"][0]["pointer"] == "/config/model_fallbacks/0"
    await made(api)
    refused = problem(await api.patch("/v2/agents/helper", json={"config": {"model": "echo"}}), 422, "model-unknown")
    assert refused["errors"][0]["pointer"] == "/config/model"


async def test_a_setting_without_effect_on_the_model_is_refused(api: httpx.AsyncClient) -> None:
    config = {"model": "openai:gpt-4o", "model_settings": {"top_k": 3}}
    refused = problem(await api.post("/v2/agents", json=HELPER | {"config": config}), 422, "model-setting-unsupported")
    assert refused["errors"][0]["pointer"] == "/config/model"


async def test_the_prompt_of_somebody_else_is_never_touched(api: httpx.AsyncClient) -> None:
    await prompt_made(api, "helper")
    refused = problem(await api.post("/v2/agents", json=HELPER), 409, "agent-prompt-taken")
    assert "prompt_service_id" in refused["hint"]
    assert (await api.get("/v2/agents/helper")).status_code == 404
    await api.delete("/v2/prompts/helper")
    problem(await api.post("/v2/agents", json=HELPER), 409, "agent-prompt-taken")
    assert (await api.get("/v2/prompts", params={"include_inactive": True})).json()["items"][0]["template"] == "Version 1"


async def test_an_agent_on_a_prompt_that_exists(api: httpx.AsyncClient) -> None:
    await prompt_made(api, "shared", "Version 2")
    agent = await made(api, template=None, prompt_service_id="shared", prompt_version=1)
    assert (agent["prompt_service_id"], agent["prompt_version"]) == ("shared", 1)
    body = {name: value for name, value in HELPER.items() if name != "template"} | {"id": "other"}
    for fields, pointer in (
        ({"prompt_service_id": "none"}, "/prompt_service_id"),
        ({"prompt_service_id": "shared", "prompt_version": 3}, "/prompt_version"),
        ({"prompt_service_id": "shared", "prompt_label": "live"}, "/prompt_label"),
    ):
        refused = problem(await api.post("/v2/agents", json=body | fields), 422, "agent-prompt-unknown")
        assert [error["pointer"] for error in refused["errors"]] == [pointer]
    both = {"prompt_service_id": "shared", "prompt_version": 1, "prompt_label": "live"}
    problem(await api.post("/v2/agents", json=body | both), 422, "invalid-request")


async def test_a_patch_reaches_into_the_config(api: httpx.AsyncClient) -> None:
    agent = await made(api, config=CONFIG | {"model_settings": {"temperature": 0.5, "max_tokens": 9}, "num_history_runs": 9})
    patch = {
        "model_settings": {"temperature": None, "top_p": 0.5},
        "num_history_runs": None,
        "tools": [{"type": "builtin", "name": "think"}],
    }
    patched = (await api.patch("/v2/agents/helper", json={"config": patch, "name": "New", "description": "d"})).json()
    assert patched["config"] == agent["config"] | {
        "model_settings": {"max_tokens": 9, "top_p": 0.5},
        "num_history_runs": 3,
        "tools": [{"type": "builtin", "name": "think"}],
    }
    assert (patched["name"], patched["description"]) == ("New", "d")
    refused = problem(await api.patch("/v2/agents/helper", json={"config": {"model_settings": {"temp": 1}}}), 422, "invalid-request")
    assert [error["pointer"] for error in refused["errors"]] == ["/config/model_settings/temp"]
    refused = problem(await api.patch("/v2/agents/helper", json={"config": {"model": None}}), 422, "invalid-request")
    assert [error["pointer"] for error in refused["errors"]] == ["/config/model"]
    for name in ("name", "config", "tags", "template", "prompt_service_id"):
        problem(await api.patch("/v2/agents/helper", json={name: None}), 422, "invalid-request")


async def test_a_patch_that_changes_nothing_leaves_no_trace(api: httpx.AsyncClient, owner: Connection) -> None:
    agent = await made(api)
    for patch in ({}, {"name": "Helper", "config": {"enable_memory": True}}, {"template": "Help {user}."}, {"prompt_version": None}):
        assert (await api.patch("/v2/agents/helper", json=patch)).json() == agent
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE object_type = 'agent'") == 1


async def test_a_template_in_a_patch_is_a_new_version_of_its_own_prompt(api: httpx.AsyncClient) -> None:
    await made(api)
    before = (await api.get("/v2/agents/helper")).json()
    after = (await api.patch("/v2/agents/helper", json={"template": "Two"})).json()
    assert after["updated_at"] > before["updated_at"]
    prompt = (await api.get("/v2/prompts/helper")).json()
    assert (prompt["template"], prompt["version"]) == ("Two", 2)


async def test_a_template_for_a_shared_prompt_is_refused(api: httpx.AsyncClient) -> None:
    await prompt_made(api)
    await made(api, template=None, prompt_service_id="shared")
    refused = problem(await api.patch("/v2/agents/helper", json={"template": "Mine"}), 409, "agent-prompt-shared")
    assert "/v2/prompts/shared" in refused["hint"]
    assert (await api.get("/v2/prompts/shared")).json()["version"] == 1
    await made(api, id="other")
    await api.patch("/v2/agents/helper", json={"prompt_service_id": "other"})
    problem(await api.patch("/v2/agents/helper", json={"template": "Mine"}), 409, "agent-prompt-shared")


async def test_a_template_that_a_pinned_agent_would_not_use_is_refused(api: httpx.AsyncClient) -> None:
    await made(api)
    await api.patch("/v2/agents/helper", json={"prompt_version": 1})
    problem(await api.patch("/v2/agents/helper", json={"template": "Two"}), 409, "agent-prompt-pinned")
    unpinned = (await api.patch("/v2/agents/helper", json={"template": "Two", "prompt_version": None})).json()
    assert unpinned["prompt_version"] is None
    assert (await api.get("/v2/prompts/helper")).json()["version"] == 2


async def test_pins_are_moved_replaced_and_cleared(api: httpx.AsyncClient) -> None:
    await prompt_made(api, "shared", "Version 2")
    await api.put("/v2/prompts/shared/labels/live", json={"version": 1})
    await prompt_made(api, "second", "Version 2")
    await made(api, template=None, prompt_service_id="shared")

    async def pinned(**patch: Any) -> tuple[int | None, str | None]:
        agent = (await api.patch("/v2/agents/helper", json=patch)).json()
        return agent["prompt_version"], agent["prompt_label"]

    assert await pinned(prompt_version=2) == (2, None)
    assert await pinned(prompt_label="live") == (None, "live")
    assert await pinned(prompt_version=1) == (1, None)
    assert await pinned(prompt_label=None) == (1, None)
    problem(await api.patch("/v2/agents/helper", json={"prompt_service_id": "second"}), 409, "agent-prompt-pinned")
    assert await pinned(prompt_service_id="second", prompt_version=2) == (2, None)
    assert await pinned(prompt_service_id="shared", prompt_version=None) == (None, None)
    problem(await api.patch("/v2/agents/helper", json={"prompt_version": 3}), 422, "agent-prompt-unknown")
    problem(await api.patch("/v2/agents/helper", json={"prompt_version": 1, "prompt_label": "live"}), 422, "invalid-request")
    assert await pinned(prompt_label="live") == (None, "live")
    problem(await api.patch("/v2/agents/helper", json={"prompt_service_id": "second"}), 422, "agent-prompt-unknown")


async def test_a_deleted_and_recreated_agent_has_the_new_definition(api: httpx.AsyncClient, catalogue: Catalogue) -> None:
    await made(api, description="old", tags=["old"])
    await api.patch("/v2/agents/helper", json={"prompt_version": 1})
    assert (await catalogue.resolve("helper")).template == "Help {user}."
    for _ in range(2):
        assert (await api.delete("/v2/agents/helper")).status_code == 204
    for path in ("/v2/agents/helper", "/v2/prompts/helper"):
        assert (await api.get(path)).status_code == 404
    again = await made(api, name="Helper II", template="New text")
    assert (again["name"], again["description"], again["tags"], again["prompt_version"]) == ("Helper II", None, [], None)
    resolved = await catalogue.resolve("helper")
    assert (resolved.name, resolved.template, resolved.prompt_version) == ("Helper II", "New text", 2)
    assert (await api.get("/v2/prompts/helper/versions/1")).json()["template"] == "Help {user}."


async def test_a_recreated_agent_may_use_another_prompt(api: httpx.AsyncClient, catalogue: Catalogue) -> None:
    await made(api)
    await api.delete("/v2/agents/helper")
    await prompt_made(api)
    await made(api, template=None, prompt_service_id="shared")
    assert (await catalogue.resolve("helper")).template == "Version 1"
    assert (await api.get("/v2/prompts/helper")).status_code == 404


async def test_a_prompt_that_others_use_outlives_its_agent_and_is_not_taken_back(api: httpx.AsyncClient, catalogue: Catalogue) -> None:
    await made(api)
    await made(api, id="friend", template=None, prompt_service_id="helper")
    await api.delete("/v2/agents/helper")
    assert (await catalogue.resolve("friend")).template == "Help {user}."
    problem(await api.post("/v2/agents", json=HELPER | {"template": "Changed"}), 409, "agent-prompt-taken")
    assert (await catalogue.resolve("friend")).template == "Help {user}."
    await made(api, template=None, prompt_service_id="helper")


async def test_a_shared_prompt_outlives_its_agents(api: httpx.AsyncClient) -> None:
    await prompt_made(api)
    await made(api, template=None, prompt_service_id="shared")
    await api.delete("/v2/agents/helper")
    assert (await api.get("/v2/prompts/shared")).status_code == 200


async def test_what_does_not_exist_is_not_found(api: httpx.AsyncClient) -> None:
    for agent_id in ("nothing", "x" * 300, "a%2Fb"):
        problem(await api.get(f"/v2/agents/{agent_id}"), 404, "agent-not-found") if "%" not in agent_id else None
        assert (await api.delete(f"/v2/agents/{agent_id}")).status_code == 404
        assert (await api.patch(f"/v2/agents/{agent_id}", json={"config": {}})).status_code == 404


async def test_the_list_is_filtered_and_paged(api: httpx.AsyncClient) -> None:
    for number in range(4):
        await made(api, id=f"a{number}", name=f"Agent {number}", tags=["odd" if number % 2 else "even"])
    await api.delete("/v2/agents/a3")

    async def ids(**params: Any) -> list[str]:
        return [item["id"] for item in (await api.get("/v2/agents", params=params)).json()["items"]]

    assert await ids() == ["a0", "a1", "a2"]
    assert await ids(include_inactive=True) == ["a0", "a1", "a2", "a3"]
    assert await ids(tag="even") == ["a0", "a2"]
    assert await ids(q="agent 1") == ["a1"]
    first = (await api.get("/v2/agents", params={"limit": 2})).json()
    rest = (await api.get("/v2/agents", params={"cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in rest["items"]] == ["a2"]


async def test_of_creations_at_the_same_time_one_wins(agents: AgentService) -> None:
    for _ in range(2):
        done = await at_once(*(lambda: agents.create_agent(CALLER, AgentCreate(**HELPER)) for _ in range(5)))
        assert sum(isinstance(result, AgentExists) for result in done) == 4
        assert sum(isinstance(result, BaseException) for result in done) == 4
        await agents.delete_agent(CALLER, "helper")


async def test_patches_of_one_config_at_the_same_time_all_count(agents: AgentService) -> None:
    await agents.create_agent(CALLER, AgentCreate(**HELPER))
    patches: list[dict[str, Any]] = [
        {"num_history_runs": 50},
        {"enable_memory": False},
        {"enable_history": False},
        {"model_settings": {"seed": 5}},
    ]
    done = await at_once(*(lambda patch=patch: agents.update_agent(CALLER, "helper", AgentPatch(config=patch)) for patch in patches))
    assert not [result for result in done if isinstance(result, BaseException)]
    config = (await agents.require_agent("helper")).agent.config
    assert (config["num_history_runs"], config["enable_memory"], config["enable_history"]) == (50, False, False)
    assert config["model_settings"] == {"seed": 5}


async def test_template_edits_and_bindings_at_the_same_time_do_not_lock_each_other_out(
    agents: AgentService, prompts: PromptService
) -> None:
    await agents.create_agent(CALLER, AgentCreate(**HELPER))
    friends = [AgentCreate(id=f"f{n}", name="F", prompt_service_id="helper", config=HELPER["config"]) for n in range(2)]
    for number in range(5):
        await agents.update_agent(CALLER, "helper", AgentPatch(prompt_version=1))
        done = await at_once(
            lambda number=number: agents.update_agent(CALLER, "helper", AgentPatch(template=f"t{number}", prompt_version=None)),
            lambda number=number: prompts.update_prompt(CALLER, "helper", PromptPatch(template=f"p{number}")),
            lambda number=number: prompts.update_prompt(CALLER, "helper", PromptPatch(name=f"p{number}")),
            *(lambda friend=friend: agents.create_agent(CALLER, friend) for friend in friends),
        )
        assert not [result for result in done if isinstance(result, BaseException)]
        for friend in friends:
            await agents.delete_agent(CALLER, friend.id or "")


async def test_every_change_is_in_the_log_of_changes(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api)
    await api.patch("/v2/agents/helper", json={"name": "N", "template": "Two"})
    await api.delete("/v2/agents/helper")
    await made(api)
    rows = await owner.fetch("SELECT object_type || ' ' || action AS what, detail FROM audit_log ORDER BY id")
    agent = [row["what"].removeprefix("agent agent.") for row in rows if row["what"].startswith("agent ")]
    assert agent == ["created", "updated", "deleted", "restored"]
    assert [row["what"].removeprefix("prompt prompt.") for row in rows if row["what"].startswith("prompt ")] == [
        *("created", "updated", "deleted", "restored"),
    ]


async def test_the_providers_in_use_are_those_of_active_agents_and_their_fallbacks(api: httpx.AsyncClient, agents: AgentService) -> None:
    assert await agents.list_providers() == []
    await made(api, id="one", config={"model": "scripted:echo"})
    await made(api, id="two", config={"model": "scripted:echo", "model_fallbacks": ["openai:gpt-4o"]})
    assert sorted(await agents.list_providers()) == ["openai", "scripted"]
    await api.delete("/v2/agents/two")
    assert await agents.list_providers() == ["scripted"]
