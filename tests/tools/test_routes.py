from __future__ import annotations

from tests.prompts.catalogue_app import client_of

from pointsman.kit.json_schema import JsonSchema
from pointsman.tools.routes import router
from pointsman.tools.sources import Sources
from pointsman.tools.specs import BUILTIN_TOOLS


async def test_the_list_shows_every_tool_that_an_agent_may_name() -> None:
    async with client_of(router, services={Sources: Sources()}) as client:
        answer = await client.get("/v2/tools")
    assert (answer.status_code, answer.json()["next_cursor"]) == (200, None)
    items = answer.json()["items"]
    assert sorted(item["name"] for item in items) == sorted(BUILTIN_TOOLS)
    for item in items:
        assert set(item) == {"type", "name", "source", "tool", "description", "parameters"}
        assert (item["type"], item["source"], bool(item["description"])) == ("builtin", None, True)
        JsonSchema(item["parameters"])
