from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.prompts.catalogue_app import CALLER

from pointsman.agents.config import AgentConfig
from pointsman.agents.errors import AgentNotFound, AgentPromptMissing
from pointsman.agents.resolve import Catalogue, RunConfig, from_snapshot, snapshot
from pointsman.agents.schemas import AgentCreate, AgentPatch
from pointsman.agents.service import AgentService
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import Listener
from pointsman.prompts.schemas import PromptCreate, PromptPatch
from pointsman.prompts.service import PromptService

CONFIG: dict[str, Any] = {"model": "scripted:echo"}


@pytest.fixture
async def elsewhere(db: Database, dsn: str) -> AsyncGenerator[Catalogue]:
    """The catalogue of another process, which only hears of changes; it never forgets by age."""
    listener = Listener(dsn)
    catalogue = Catalogue(db, listener, max_age=timedelta(hours=1))
    heard = asyncio.Event()
    listener.subscribe("ready", lambda _: heard.set())
    task = asyncio.create_task(listener.run())
    await heard.wait()
    yield catalogue
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def helper(agents: AgentService) -> str:
    await agents.create_agent(CALLER, AgentCreate.model_validate({"id": "helper", "name": "H", "template": "One {x}", "config": CONFIG}))
    return "helper"


async def eventually(catalogue: Catalogue, template: str) -> None:
    async with asyncio.timeout(5):
        while (await catalogue.resolve("helper")).template != template:
            await asyncio.sleep(0.01)


def test_every_field_of_the_config_reaches_a_run_with_the_same_default() -> None:
    config = AgentConfig.model_validate(CONFIG)
    assert set(RunConfig.__struct_fields__) | {"tools", "skills"} == set(AgentConfig.model_fields)
    assert msgspec.convert(config.stored(), RunConfig) == RunConfig("scripted:echo")
    assert {
        name: getattr(config, name) for name in ("enable_memory", "num_history_runs", "reasoning_min_steps", "reasoning_max_steps")
    } == {
        name: getattr(RunConfig("x"), name) for name in ("enable_memory", "num_history_runs", "reasoning_min_steps", "reasoning_max_steps")
    }


async def test_an_agent_is_resolved_with_prompt_and_tools(agents: AgentService, prompts: PromptService, catalogue: Catalogue) -> None:
    prompt_tools = [{"type": "builtin", "name": "think"}, {"type": "builtin", "name": "current_time", "timezone": "Asia/Tokyo"}]
    await prompts.create_prompt(CALLER, PromptCreate.model_validate({"id": "p", "name": "P", "template": "T", "tools": prompt_tools}))
    own = [{"type": "builtin", "name": "current_time", "timezone": "Europe/Berlin"}]
    body = {"id": "a", "name": "A", "prompt_service_id": "p", "config": CONFIG | {"tools": own, "num_history_runs": 5}}
    await agents.create_agent(CALLER, AgentCreate.model_validate(body))
    resolved = await catalogue.resolve("a")
    assert (resolved.agent_id, resolved.name, resolved.template, resolved.prompt_ref) == ("a", "A", "T", "p@1")
    assert resolved.config == RunConfig("scripted:echo", num_history_runs=5)
    assert resolved.tools == (own[0], prompt_tools[0])


async def test_a_write_in_this_process_is_seen_at_once(
    agents: AgentService, prompts: PromptService, catalogue: Catalogue, helper: str
) -> None:
    for number in range(3):
        await prompts.update_prompt(CALLER, helper, PromptPatch(template=f"p{number}"))
        assert (await catalogue.resolve(helper)).template == f"p{number}"
        await agents.update_agent(CALLER, helper, AgentPatch(name=f"n{number}", template=f"t{number}"))
        assert (await catalogue.resolve(helper)).template == f"t{number}"
    await prompts.rollback_prompt(CALLER, helper, 1)
    assert (await catalogue.resolve(helper)).template == "One {x}"
    await agents.delete_agent(CALLER, helper)
    with pytest.raises(AgentNotFound):
        await catalogue.resolve(helper)


async def test_a_write_in_another_process_is_heard(agents: AgentService, prompts: PromptService, elsewhere: Catalogue, helper: str) -> None:
    await eventually(elsewhere, "One {x}")
    await prompts.update_prompt(CALLER, helper, PromptPatch(template="Two"))
    await eventually(elsewhere, "Two")
    await prompts.put_label(CALLER, helper, "live", 1)
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_label="live"))
    await eventually(elsewhere, "One {x}")
    await prompts.put_label(CALLER, helper, "live", 2)
    await eventually(elsewhere, "Two")


@pytest.mark.usefixtures("helper")
async def test_without_a_hint_a_change_is_seen_by_age(db: Database, dsn: str, owner: Connection) -> None:
    deaf = Catalogue(db, Listener(dsn), max_age=timedelta(milliseconds=50))
    await eventually(deaf, "One {x}")
    await owner.execute("UPDATE prompts.prompts SET template = 'Silent'")
    await eventually(deaf, "Silent")


async def test_what_is_cached_costs_no_query(catalogue: Catalogue, owner: Connection, helper: str) -> None:
    first = await catalogue.resolve(helper)
    await owner.execute("UPDATE prompts.prompts SET template = 'behind its back'")
    assert await catalogue.resolve(helper) is first


async def test_concurrent_misses_share_one_query(catalogue: Catalogue, helper: str) -> None:
    resolved = await asyncio.gather(*(catalogue.resolve(helper) for _ in range(50)))
    assert len({id(agent) for agent in resolved}) == 1


async def test_who_leaves_does_not_cancel_the_others(catalogue: Catalogue, helper: str) -> None:
    first, second = (asyncio.create_task(catalogue.resolve(helper)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).template == "One {x}"
    assert first.cancelled()


async def test_what_a_query_read_before_a_change_is_not_kept(catalogue: Catalogue, owner: Connection, helper: str) -> None:
    async with owner.transaction():
        await owner.execute("LOCK TABLE prompts.prompts IN ACCESS EXCLUSIVE MODE")
        early = asyncio.create_task(catalogue.resolve(helper))
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        catalogue.forget_prompt(helper)
    stale = await early
    assert await catalogue.resolve(helper) is not stale


async def test_pinned_agents_keep_their_version(agents: AgentService, prompts: PromptService, catalogue: Catalogue, helper: str) -> None:
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_version=1))
    await prompts.update_prompt(CALLER, helper, PromptPatch(template="Two"))
    assert ((await catalogue.resolve(helper)).template, (await catalogue.resolve(helper)).prompt_version) == ("One {x}", 1)
    await prompts.put_label(CALLER, helper, "live", 2)
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_label="live"))
    assert (await catalogue.resolve(helper)).template == "Two"
    await prompts.rollback_prompt(CALLER, helper, 1)
    assert (await catalogue.resolve(helper)).prompt_version == 2
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_label=None))
    assert ((await catalogue.resolve(helper)).template, (await catalogue.resolve(helper)).prompt_version) == ("One {x}", 3)


async def test_an_agent_whose_prompt_is_gone_says_so(
    agents: AgentService, prompts: PromptService, catalogue: Catalogue, helper: str
) -> None:
    await prompts.put_label(CALLER, helper, "live", 1)
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_label="live"))
    await prompts.delete_label(CALLER, helper, "live")
    with pytest.raises(AgentPromptMissing, match="label live") as missing:
        await catalogue.resolve(helper)
    assert "PUT /v2/prompts/helper/labels/live" in missing.value.hint
    await prompts.delete_prompt(CALLER, helper)
    with pytest.raises(AgentPromptMissing, match="does not exist any more"):
        await catalogue.resolve(helper)
    await prompts.create_prompt(CALLER, PromptCreate(id=helper, name="P", template="Back"))
    await agents.update_agent(CALLER, helper, AgentPatch(prompt_label=None))
    assert (await catalogue.resolve(helper)).template == "Back"


async def test_a_snapshot_is_canonical_and_can_be_read_back(agents: AgentService, catalogue: Catalogue, helper: str) -> None:
    first = await catalogue.resolve(helper)
    taken = snapshot(first)
    assert len(taken.hash) == 64
    assert from_snapshot(taken.data) == first
    assert from_snapshot(taken.data.decode()) == first
    catalogue.forget_agent(helper)
    assert snapshot(await catalogue.resolve(helper)) == taken
    await agents.update_agent(CALLER, helper, AgentPatch(config={"num_history_runs": 4}))
    assert snapshot(await catalogue.resolve(helper)).hash != taken.hash


def test_a_snapshot_of_an_earlier_release_can_still_be_read() -> None:
    old = b'{"agent_id":"a","name":"A","config":{"model":"m:x","gone":1},"prompt_id":"p","prompt_version":1,"template":"t"}'
    assert from_snapshot(old).config == RunConfig("m:x")
