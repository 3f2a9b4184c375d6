from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import at_once
from tests.sessions.session_scene import OPERATOR, Talk, principal

from pointsman.kit.db import Connection
from pointsman.kit.ids import new_id
from pointsman.llm.port import AssistantMessage, File, Text, Thinking, ToolCall, ToolMessage, ToolResult, UserMessage
from pointsman.sessions.errors import SessionBusy, SessionNotFound
from pointsman.sessions.service import SessionService
from pointsman.web.paging import Page

ACME, GLOBEX = principal(owner="acme"), principal(owner="globex")


async def paged(ask: Callable[[str | None], Coroutine[Any, Any, Page[Any]]]) -> list[Any]:
    """Every item, page by page."""
    items: list[Any] = []
    cursor: str | None = None
    while True:
        page = await ask(cursor)
        items += page.items
        if page.next_cursor is None:
            return items
        cursor = page.next_cursor


async def test_sessions_are_listed_newest_first_page_by_page_also_while_new_ones_begin(sessions: SessionService, talk: Talk) -> None:
    for number in range(7):
        await talk.turn(f"s{number}")

    async def ask(cursor: str | None) -> Page[Any]:
        if cursor:
            await talk.turn(new_id("ses"))
        return await sessions.list_sessions(OPERATOR, user_id=None, agent_id=None, limit=2, cursor=cursor)

    assert [session.id for session in await paged(ask)] == [f"s{number}" for number in range(6, -1, -1)]


async def test_sessions_that_began_together_are_all_listed_once(sessions: SessionService, talk: Talk, owner: Connection) -> None:
    for tenant in ("", "acme", "globex"):
        for number in range(3):
            await talk.turn(f"s{number}", tenant=tenant)
    await owner.execute("UPDATE sessions SET created_at = '2026-01-01Z'")
    listed = await paged(lambda cursor: sessions.list_sessions(OPERATOR, user_id=None, agent_id=None, limit=2, cursor=cursor))
    assert sorted((session.tenant_id or "", session.id) for session in listed) == [
        (tenant, f"s{n}") for tenant in ("", "acme", "globex") for n in range(3)
    ]
    assert len(listed) == 9


async def test_sessions_are_filtered_by_user_and_agent(sessions: SessionService, talk: Talk) -> None:
    await talk.turn("one", user="ann", agent="helper")
    await talk.turn("two", user="bob", agent="helper")
    await talk.turn("three", user="ann", agent="other")
    await talk.turn("four")
    for filters, wanted in (
        ({"user_id": "ann", "agent_id": None}, ["three", "one"]),
        ({"user_id": None, "agent_id": "helper"}, ["four", "two", "one"]),
        ({"user_id": "ann", "agent_id": "other"}, ["three"]),
        ({"user_id": "nobody", "agent_id": None}, []),
    ):
        page = await sessions.list_sessions(OPERATOR, **filters, limit=50, cursor=None)
        assert [session.id for session in page.items] == wanted


async def test_the_same_id_in_two_tenants_is_two_sessions(sessions: SessionService, talk: Talk) -> None:
    await talk.turn("s", tenant="acme", answer="for acme")
    await talk.turn("s", tenant="globex", answer="for globex")
    for who, answer in ((ACME, "for acme"), (GLOBEX, "for globex"), (principal(tenant="globex"), "for globex")):
        page = await sessions.list_messages(who, "s", limit=50, cursor=None)
        assert [message.text for message in page.items] == ["hello", answer]
        assert [
            session.id for session in (await sessions.list_sessions(who, user_id=None, agent_id=None, limit=50, cursor=None)).items
        ] == ["s"]
    await sessions.delete_session(ACME, "s")
    assert (await sessions.require_session(GLOBEX, "s")).tenant_id == "globex"


async def test_a_session_of_another_tenant_is_like_one_that_does_not_exist(sessions: SessionService, talk: Talk) -> None:
    await talk.turn("s", tenant="acme")
    for who in (GLOBEX, OPERATOR, principal(tenant="globex")):
        for ask in (sessions.require_session(who, "s"), sessions.list_messages(who, "s", limit=5, cursor=None)):
            with pytest.raises(SessionNotFound) as refused:
                await ask
            assert refused.value.detail == "No session 's'."
        await sessions.delete_session(who, "s")
    assert (await sessions.require_session(ACME, "s")).id == "s"


async def test_messages_are_listed_in_order_page_by_page_with_the_state_of_their_turns(sessions: SessionService, talk: Talk) -> None:
    for number in range(3):
        await talk.turn("s", answer=f"answer {number}", said=UserMessage((Text(f"question {number}"),)))
    failed = await talk.open("s", said=UserMessage((Text("lost"),)))
    await talk.end(failed, "s", status="failed", error="{}")
    live = await talk.open("s", said=UserMessage((Text("now"),)))
    listed = await paged(lambda cursor: sessions.list_messages(OPERATOR, "s", limit=2, cursor=cursor))
    assert [message.text for message in listed] == [
        *(text for number in range(3) for text in (f"question {number}", f"answer {number}")),
        *("lost", "now"),
    ]
    assert [message.run_status for message in listed[-2:]] == ["failed", "running"]
    assert [message.position for message in listed[:4]] == [0, 1, 0, 1]
    assert listed[-1].run_id == live


@pytest.mark.parametrize("size", [1, 2, 3, 100, 100_001])
async def test_an_attachment_is_described_without_its_bytes(api: httpx.AsyncClient, talk: Talk, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    await talk.turn("s", said=UserMessage((Text("look"), File("image/png", data[:size]))))
    answer = await api.get("/v2/sessions/s/messages")
    assert answer.json()["items"][0]["parts"] == [
        {"type": "text", "text": "look"},
        {"type": "file", "media_type": "image/png", "size": size},
    ]
    assert base64.b64encode(data[: min(size, 60)]).decode().rstrip("=") not in answer.text or size < 9


async def test_a_message_shows_tools_and_thoughts_as_parts_and_only_text_as_text(api: httpx.AsyncClient, talk: Talk) -> None:
    run_id = await talk.open("s")
    asked = AssistantMessage((Thinking("hm"), Text("let me "), Text("see"), ToolCall("1", "look", '{"a": 1}')), "scripted:play")
    await talk.end(run_id, "s", messages=[asked, ToolMessage((ToolResult("1", "look", "seen"),))])
    [_, said, told] = (await api.get("/v2/sessions/s/messages")).json()["items"]
    assert (said["role"], said["text"], [part["type"] for part in said["parts"]]) == (
        "assistant",
        "let me see",
        ["thinking", "text", "text", "tool_call"],
    )
    assert (told["role"], told["text"], told["parts"][0]["content"]) == ("tool", "", "seen")


async def test_deleting_a_session_leaves_nothing_but_what_it_cost(api: httpx.AsyncClient, talk: Talk, owner: Connection) -> None:
    for _ in range(2):
        await talk.turn("s")
    await talk.turn("other")
    assert (await api.delete("/v2/sessions/s")).status_code == 204
    for table, left in (("sessions", 1), ("runs", 1), ("messages", 2), ("run_events", 2), ("token_usage", 3), ("usage_details", 3)):
        assert (table, await owner.fetchval(f"SELECT count(*) FROM {table}")) == (table, left)
    assert (await api.delete("/v2/sessions/s")).status_code == 204
    assert (await api.get("/v2/sessions/s")).json()["code"] == "session-not-found"
    assert (await api.get("/v2/sessions/s/messages")).json()["code"] == "session-not-found"
    await talk.turn("s", user="somebody else")  # the id is free again
    assert len((await api.get("/v2/sessions/s/messages")).json()["items"]) == 2


async def test_a_session_with_a_turn_under_way_is_not_deleted(api: httpx.AsyncClient, talk: Talk, owner: Connection) -> None:
    run_id = await talk.open("s")
    refused = await api.delete("/v2/sessions/s")
    assert (refused.status_code, refused.json()["code"], refused.json()["run_id"]) == (409, "session-busy", run_id)
    assert await owner.fetchval("SELECT count(*) FROM messages") == 1
    await talk.end(run_id, "s")
    assert (await api.delete("/v2/sessions/s")).status_code == 204


async def test_a_turn_that_begins_during_the_deletion_is_whole_or_refuses_it(
    sessions: SessionService, talk: Talk, owner: Connection
) -> None:
    for number in range(25):
        session, run_id = f"s{number}", new_id("run")
        await talk.turn(session)
        deleted, opened = await at_once(partial(sessions.delete_session, OPERATOR, session), partial(talk.opening, run_id, session))
        assert opened == "opened"
        assert deleted is None or isinstance(deleted, SessionBusy)
        for table in ("runs WHERE status = 'running' AND id", "messages WHERE run_id", "run_events WHERE run_id"):
            assert await owner.fetchval(f"SELECT count(*) FROM {table} = $1", run_id) == 1, f"round {number}: {deleted!r}"
        assert await owner.fetchval("SELECT count(*) FROM sessions WHERE id = $1", session) == 1


@pytest.mark.parametrize("path", ["/v2/sessions", "/v2/sessions/s/messages", "/v2/memories"])
@pytest.mark.parametrize("query", ["cursor=x", "cursor=WzFd", "limit=0", "limit=201", "limit=x", "cursor=W10"])
async def test_a_page_that_cannot_be_is_refused(api: httpx.AsyncClient, talk: Talk, path: str, query: str) -> None:
    await talk.turn("s")
    answer = await api.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/query/{query.partition('=')[0]}")
