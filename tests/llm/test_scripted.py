"""Scripted models: what a script says is what is answered, every time, with no network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.llm.asking import ADD, ask, drain, said, thought

from pointsman.llm.errors import ModelProblem, ModelScriptInvalid
from pointsman.llm.models import Models
from pointsman.llm.port import (
    AssistantMessage,
    File,
    ModelAnswer,
    StreamItem,
    Text,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from pointsman.settings import Settings

HI = UserMessage((Text("hi {system}"),))


@pytest.fixture
def scripted() -> Models:
    return Models(Settings())


def script(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"turns": list(turns)}


def text_of(made: ModelAnswer) -> str:
    return "".join(part.text for part in made.message.parts if isinstance(part, Text))


async def test_echo_answers_with_the_last_user_text_word_by_word(scripted: Models) -> None:
    items: list[StreamItem] = []
    made = await drain(scripted, ask("scripted:echo", "  one two\nthree  "), items)
    assert said(items) == text_of(made) == "  one two\nthree  "
    assert len(items) == 3
    assert made.spent[0].usage == Usage(prompt_tokens=6, completion_tokens=3)


async def test_turns_go_on_through_a_conversation(scripted: Models) -> None:
    lines = script({"text": "first"}, {"text": "second"}, {"text": "third"})
    said_before = AssistantMessage((Text("first"),), "scripted:s")
    assert text_of(await scripted.complete(ask("scripted:s", "a", script=lines))) == "first"
    assert text_of(await scripted.complete(ask("scripted:s", "", messages=(HI, said_before, HI), script=lines))) == "second"
    # history may be cut off: the caller's count wins
    assert text_of(await scripted.complete(ask("scripted:s", "a", script=lines, played=2))) == "third"
    assert text_of(await scripted.complete(ask("scripted:s", "a", script=lines, played=1, step=1))) == "third"
    assert text_of(await scripted.complete(ask("scripted:s", "a", script=lines, played=9))) == "third"


async def test_a_last_turn_that_calls_tools_is_followed_by_their_results(scripted: Models) -> None:
    lines = script({"text": "let me see", "tool_calls": [{"name": "add", "args": {"a": 1, "note": "{message}"}}]})
    first = await scripted.complete(ask("scripted:s", "q\"'", script=lines, tools=(ADD,)))
    (call,) = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert json.loads(call.args) == {"a": 1, "note": "q\"'"}
    assert first.finish_reason == "tool_calls"
    results = ToolMessage((ToolResult(call.id, call.name, "it is 3"),))
    again = await scripted.complete(ask("scripted:s", "", messages=(HI, first.message, results), script=lines, step=1))
    assert text_of(again) == "it is 3"
    anew = await scripted.complete(ask("scripted:s", "", messages=(HI, first.message, results, again.message, HI), script=lines))
    assert anew.finish_reason == "tool_calls"


async def test_placeholders_show_what_reached_the_model_and_are_filled_once(scripted: Models) -> None:
    everything = "{message}|{system}|{history}|{tools}|{settings}|{attachments}|{model}|{unknown}"
    made = await scripted.complete(
        ask(
            "scripted:s",
            "",
            messages=(HI, AssistantMessage((Text("hello"),), "x"), UserMessage((Text("{history}"), File("image/png", b"x")))),
            tools=(ADD,),
            settings={"temperature": 0.5},
            script=script({"text": everything}),
            played=0,
        )
    )
    assert text_of(made) == '{history}|You are brief.|2|add|{"temperature":0.5}|image/png|scripted:s|{unknown}'
    transcript = script({"text": "{transcript}"})
    made = await scripted.complete(ask("scripted:s", "", messages=(HI, AssistantMessage((Text("yes"),), "x"), HI), script=transcript))
    assert text_of(made) == "user: hi {system}\nassistant: yes"


async def test_output_is_json_whatever_the_user_wrote(scripted: Models) -> None:
    made = await scripted.complete(ask("scripted:s", 'say "x"', script=script({"output": {"heard": "{message}", "n": [1, True]}})))
    assert json.loads(text_of(made)) == {"heard": 'say "x"', "n": [1, True]}


async def test_thinking_and_usage_are_as_the_script_says(scripted: Models) -> None:
    items: list[StreamItem] = []
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "cached_tokens": 3, "reasoning_tokens": 2}
    made = await drain(scripted, ask("scripted:s", "a", script=script({"reasoning": "hm hm", "text": "b", "usage": usage})), items)
    assert thought(items) == "hm hm"
    assert made.message.parts == (Thinking("hm hm"), Text("b"))
    assert made.spent[0].usage == Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=3, reasoning_tokens=2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({}, "model-unavailable"),
        ({"status": 500}, "model-unavailable"),
        ({"status": 429, "retry_after": 7}, "model-rate-limited"),
        ({"status": 401}, "model-credentials"),
        ({"status": 400}, "model-rejected"),
        ({"kind": "timeout"}, "model-timeout"),
        ({"kind": "content-filtered"}, "model-content-filtered"),
    ],
)
async def test_errors_are_the_problems_that_a_real_provider_causes(scripted: Models, error: dict[str, Any], code: str) -> None:
    with pytest.raises(ModelProblem) as failed:
        await scripted.complete(ask("scripted:s", "a", script=script({"error": {"message": "no luck", **error}})))
    assert failed.value.code == code
    assert "no luck" in failed.value.detail
    assert failed.value.retry_after == error.get("retry_after")
    assert failed.value.spent == ()


async def test_an_error_after_text_falls_back_and_counts_both(scripted: Models) -> None:
    items: list[StreamItem] = []
    lines = script({"error": {"after_text": "half an answer"}})
    made = await drain(scripted, ask(("scripted:s", "scripted:echo"), "whole", script=lines), items)
    assert said(items) == "whole"
    assert [(spend.model, spend.usage.is_estimated) for spend in made.spent] == [("scripted:s", True), ("scripted:echo", False)]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{tool_result.0.file}, page {tool_result.0.page}", "a.pdf, page 2"),
        ("{tool_result.1.content} {tool_result.1.where}", '{message} {"row":[1,null]}'),
        ("{tool_result.0.heading} {tool_result.7.file} {tool_result.file} {tool_result.0.file.x}",) * 2,
    ],
)
async def test_an_answer_and_arguments_are_made_from_what_lies_in_a_tools_result(scripted: Models, template: str, filled: str) -> None:
    lines = script({"text": template, "tool_calls": [{"name": "add", "args": {"a": template}}]})
    found = [{"file": "a.pdf", "page": 2}, {"content": "{message}", "where": {"row": [1, None]}}]
    asked = AssistantMessage((ToolCall("1", "add", "{}"), ToolCall("2", "add", "{}")), "scripted:s")
    results = ToolMessage((ToolResult("1", "add", "no JSON"), ToolResult("2", "add", json.dumps(found))))
    made = await scripted.complete(ask("scripted:s", "", messages=(HI, asked, results), script=lines, played=0))
    assert text_of(made) == filled
    (call,) = [part for part in made.message.parts if isinstance(part, ToolCall)]
    assert json.loads(call.args) == {"a": filled}


@pytest.mark.parametrize("returned", ["", "words", "[" * 100_000, "7"])
async def test_a_placeholder_of_what_is_not_there_stays_as_it_is_written(scripted: Models, returned: str) -> None:
    lines = script({"text": "{tool_result.0}"})
    results = ToolMessage((ToolResult("1", "add", returned),))
    assert text_of(await scripted.complete(ask("scripted:s", "", messages=(HI, results), script=lines, played=0))) == "{tool_result.0}"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (None, "has no script"),
        ({"turns": []}, "turns"),
        ({"turns": [{}]}, "needs `text`, `tool_calls`, `output` or `error`"),
        ({"turns": [{"text": "a", "output": {}}]}, "`text` and `output`"),
        ({"turns": [{"txt": "a"}]}, "script.turns.0.txt"),
        ({"turns": [{"error": {"kind": "timeout", "status": 500}}]}, "give one of them"),
        ({"turns": [{"text": "a", "delay_ms": -1}]}, "delay_ms"),
    ],
)
async def test_a_bad_script_is_told_where(scripted: Models, bad: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(ModelScriptInvalid) as invalid:
        await scripted.complete(ask("scripted:s", "a", script=bad))
    assert words in invalid.value.detail
