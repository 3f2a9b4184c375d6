from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.kit.conftest import Net, answer_with, opened_net

from pointsman.knowledge.parsing import Parser
from pointsman.llm.port import ToolCall
from pointsman.tools.builtin import Builtins
from pointsman.tools.fetching import HTTP_FETCH, Web
from pointsman.tools.texts import LONGEST
from pointsman.turns.ports import ToolOutcome

PAGE = """<!doctype html><html><head><title>T</title><script>alert("no")</script></head><body>
<nav>Menu</nav><h1>Tea &amp; more</h1><p>Served <b>at four</b>.</p><style>p{}</style><table><tr><td>a<td>b</table></body></html>"""


@dataclass
class Scene:
    """The web, and the tool that reads it."""

    net: Net
    tools: Builtins

    async def fetch(self, path: str = "/page", **args: Any) -> ToolOutcome:
        given = args or {"url": f"http://public.test:{self.net.port}{path}"}
        return await self.tools.call(ToolCall("call_1", HTTP_FETCH, json.dumps(given)))

    async def told(self, path: str = "/page") -> dict[str, Any]:
        outcome = await self.fetch(path)
        assert not outcome.is_error, outcome
        return json.loads(outcome.content)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncGenerator[Scene]:
    parser = Parser(tmp_path / "pages")
    async with opened_net() as net, net.egress() as egress:
        yield Scene(net, Builtins([HTTP_FETCH], timezone=None, book=None, web=Web(egress, parser)))
    await parser.aclose()


async def test_a_page_is_told_as_what_its_visitors_read_and_where_it_was(scene: Scene) -> None:
    scene.net.answer("/page", PAGE.encode(), "text/html; charset=utf-8")
    scene.net.redirect("/go", "/page")
    told = await scene.told("/go")
    assert told | {"content": ""} == {
        "status": 200, "url": f"http://public.test:{scene.net.port}/page", "media_type": "text/html", "truncated": False, "content": ""
    }  # fmt: skip
    for seen in ("Tea & more", "Served at four.", "a | b"):
        assert seen in told["content"]
    for unseen in ("alert", "p{}", "<"):
        assert unseen not in told["content"]


async def test_what_the_answer_says_of_its_letters_counts_before_what_the_page_says(scene: Scene) -> None:
    page = '<meta charset="utf-8"><p>größer</p>'
    scene.net.answer("/page", page.encode("latin-1"), "text/html; charset=ISO-8859-1")
    assert "größer" in (await scene.told())["content"]
    scene.net.answer("/page", page.replace("utf-8", "iso-8859-1").encode("latin-1"), "text/html")
    assert "größer" in (await scene.told())["content"]
    scene.net.answer("/page", page.encode(), "text/html; charset=punycode")
    assert "größer" in (await scene.told())["content"]


@pytest.mark.parametrize(
    ("body", "media_type", "content"),
    [
        (b'{"a": [1, 2]}', "application/json", '{"a": [1, 2]}'),
        (b"plain\r\n", "text/plain", "plain\r\n"),
        (b"a,b\n", "text/csv", "a,b\n"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"a\x00b\xff", "text/plain", "ab\ufffd"),
        (b"", "text/plain", ""),
        (b"  ", "text/html", ""),
    ],
)
async def test_text_is_told_as_it_is(scene: Scene, body: bytes, media_type: str, content: str) -> None:
    scene.net.answer("/page", body, media_type)
    assert (await scene.told())["content"] == content


async def test_what_is_no_text_is_named(scene: Scene) -> None:
    scene.net.answer("/page", b"\x89PNG" * 100, "image/png")
    told = await scene.told()
    assert (told["content"], told["media_type"]) == (None, "image/png")
    assert "400 bytes" in told["note"]


async def test_what_is_long_is_cut_and_says_so(scene: Scene) -> None:
    scene.net.answer("/page", b"x" * (LONGEST + 1), "text/plain")
    told = await scene.told()
    assert told["truncated"]
    assert len(told["content"]) < LONGEST + 100
    scene.net.answer("/page", b"x" * 5_000_000, "text/plain")
    assert (await scene.told())["truncated"]
    scene.net.answer("/page", gzip.compress(b"x" * 50_000_000), "text/plain", headers="Content-Encoding: gzip\r\n")
    assert (await scene.told())["truncated"]
    scene.net.answer("/page", b"<p>" + b"word " * 600_000, "text/html")
    assert (await scene.told())["truncated"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (answer_with(b"no", "text/plain", status=404), "404"),
        (answer_with(b"no", "text/plain", status=503), "503"),
        (answer_with(b"%PDF-1.7 not a page", "text/html"), "content is PDF"),
        (answer_with(b"<script>all of it</script>", "text/html"), "no text"),
        (answer_with(b"\x0b", "text/plain", headers="Content-Encoding: br\r\n"), "content coding"),
        (b"nonsense\r\n\r\n", "no complete HTTP answer"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(scene: Scene, answer: bytes, says: str) -> None:
    scene.net.public.answers["/page"] = answer
    outcome = await scene.fetch()
    assert outcome.is_error
    assert says in outcome.content


@pytest.mark.parametrize(
    "args", [{"url": 7}, {"link": "x"}, {"url": "http://public.test/", "headers": {"X": "y"}}, {"url": ""}, {"url": "no url"}]
)
async def test_what_is_no_url_or_brings_headers_is_told_to_the_model(scene: Scene, args: dict[str, Any]) -> None:
    assert (await scene.fetch(**args)).is_error
    assert not scene.net.names.asked


async def test_several_pages_are_read_at_once_and_none_waits_for_ever(scene: Scene) -> None:
    for number in range(6):
        scene.net.answer(f"/{number}", f"<p>page {number}</p>".encode(), "text/html")
    told = await asyncio.gather(*(scene.told(f"/{number}") for number in range(6)))
    assert [one["content"] for one in told] == [f"page {number}" for number in range(6)]
