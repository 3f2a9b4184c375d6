"""Each provider's format, whole and streamed: text, thinking, tools, structured output, attachments, settings, usage."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from tests.fakes.upstream import Upstream
from tests.llm.asking import ADD, KEYS, WIRES, ask, drain, said, thought

from pointsman.llm.errors import ModelAttachmentRefused, ModelSettingUnsupported
from pointsman.llm.models import Models
from pointsman.llm.port import (
    AssistantMessage,
    File,
    ModelAnswer,
    ModelCall,
    Reasoning,
    StreamItem,
    Text,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolResult,
    UserMessage,
)

PNG = File("image/png", b"\x89PNG\r\n\x1a\n" + b"picture")
PDF = File("application/pdf", b"%PDF-1.7 a page")
SCHEMA = {
    "title": "City guide",
    "type": "object",
    "properties": {"city": {"type": "string"}, "rank": {"type": "integer"}},
    "required": ["city", "rank"],
    "additionalProperties": False,
}

each_wire = pytest.mark.parametrize("model", WIRES)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


async def answer(models: Models, call: ModelCall, *, streamed: bool) -> ModelAnswer:
    # A small `max_tokens` keeps Anthropic's SDK from streaming behind our back.
    call = msgspec.structs.replace(call, settings={"max_tokens": 2000, **call.settings})
    return await (drain(models, call) if streamed else models.complete(call))


def text_of(made: ModelAnswer) -> str:
    return "".join(part.text for part in made.message.parts if isinstance(part, Text))


@each_wire
@both_ways
async def test_text_and_every_token_count_arrive_as_the_upstream_sent_them(
    models: Models, upstream: Upstream, model: str, streamed: bool
) -> None:
    cache_write = 0 if model.startswith("google") else 8  # a count that Google's API does not have
    made = await answer(models, ask(model, f"hi [[n=7 cached=64 cache_write={cache_write} reasoning=5]]"), streamed=streamed)
    assert text_of(made) == "tok0 tok1 tok2 tok3 tok4 tok5 tok6 "
    assert made.finish_reason == "stop"
    assert made.message.model == model
    (spend,) = made.spent
    assert spend.model == model
    assert not spend.usage.is_estimated
    reported = upstream.last()["usage"]
    assert msgspec.to_builtins(spend.usage) == {**reported, "is_estimated": False}
    assert upstream.last()["stream"] is streamed
    assert spend.usage.cached_tokens == 64
    assert spend.usage.reasoning_tokens == 5


@each_wire
async def test_a_stream_is_the_text_in_pieces_then_the_answer(models: Models, model: str) -> None:
    items: list[StreamItem] = []
    made = await drain(models, ask(model, "hi [[n=5 itl=20 think=3]]"), items)
    assert said(items) == text_of(made) == "tok0 tok1 tok2 tok3 tok4 "
    assert thought(items) == "think0 think1 think2 "
    assert len(items) >= 6


@each_wire
async def test_the_system_prompt_goes_out_alone_and_as_it_is(models: Models, upstream: Upstream, model: str) -> None:
    await models.complete(ask(model, "hi", system="Only this."))
    body = upstream.last()["body"]
    sent = json.dumps(body.get("system") or body.get("instructions") or body.get("systemInstruction") or body["messages"][0])
    assert "Only this." in sent
    assert len(sent) < 120


@each_wire
async def test_the_key_goes_to_its_own_provider(models: Models, upstream: Upstream, model: str) -> None:
    await models.complete(ask(model, "hi"))
    vendor = model.partition(":")[0].removesuffix("-responses")
    key = KEYS[vendor].get_secret_value() if vendor in KEYS else "none"
    assert upstream.last()["key"].removeprefix("Bearer ") == key


@each_wire
@both_ways
async def test_tools_are_called_and_their_results_go_back_in_the_providers_shape(
    models: Models, upstream: Upstream, model: str, streamed: bool
) -> None:
    question = 'sum [[think=2]] [[tool=add;args={"a":1,"b":2}]] [[tool=add;args={"a":3,"b":4}]]'
    first = await answer(models, ask(model, question, tools=(ADD,)), streamed=streamed)
    calls = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.args)) for call in calls] == [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
    assert first.finish_reason == "tool_calls"
    assert "Adds two numbers." in json.dumps(upstream.last()["body"]["tools"])

    stored = msgspec.json.decode(msgspec.json.encode(first.message), type=AssistantMessage)
    assert stored == first.message
    results = ToolMessage(tuple(ToolResult(call.id, call.name, f"sum {i}") for i, call in enumerate(calls)))
    second = await answer(
        models,
        ask(model, "", messages=(UserMessage((Text(question),)), stored, results), tools=(ADD,)),
        streamed=streamed,
    )
    assert text_of(second).startswith("tok0 ")
    sent = json.dumps(upstream.last()["body"])
    assert sent.index("sum 0") < sent.index("sum 1")
    for call in calls:
        assert sent.count(call.id) == 2  # the call and its result


async def test_what_a_model_signed_goes_back_unchanged(models: Models, upstream: Upstream) -> None:
    question = 'sum [[think=2]] [[tool=add;args={"a":1,"b":2}]]'
    for model in ("anthropic:claude-sonnet-4-6", "google:gemini-3.8-flash", "openai-responses:gpt-6-luna"):
        first = await models.complete(ask(model, question, tools=(ADD,), settings={"max_tokens": 50}))
        call = next(part for part in first.message.parts if isinstance(part, ToolCall))
        results = ToolMessage((ToolResult(call.id, call.name, "3", is_error=True),))
        await models.complete(ask(model, "", messages=(UserMessage((Text(question),)), first.message, results), tools=(ADD,)))
        body = upstream.last()["body"]
        if model.startswith("anthropic"):
            thinking = body["messages"][1]["content"][0]
            assert (thinking["type"], thinking["thinking"]) == ("thinking", "think0 think1 ")
            assert thinking["signature"]
            assert body["messages"][2]["content"][0]["is_error"] is True
        elif model.startswith("google"):
            assert [part for part in body["contents"][1]["parts"] if part.get("thoughtSignature")]
        else:
            (item,) = [item for item in body["input"] if item.get("type") == "reasoning"]
            assert item["encrypted_content"]


async def test_the_thoughts_of_another_provider_are_not_passed_on(models: Models, upstream: Upstream) -> None:
    history = AssistantMessage((Thinking("my secret thought", signature="s", provider="anthropic"), Text("Hello.")), "anthropic:claude")
    for model in WIRES:
        if not model.startswith("anthropic"):
            await models.complete(ask(model, "", messages=(UserMessage((Text("hi"),)), history, UserMessage((Text("again"),)))))
            assert "Hello." in json.dumps(upstream.last()["body"])
            assert "secret thought" not in json.dumps(upstream.last()["body"])


@each_wire
@both_ways
async def test_a_schema_goes_to_the_model_and_json_comes_back(models: Models, upstream: Upstream, model: str, streamed: bool) -> None:
    made = await answer(models, ask(model, "guide", output_schema=SCHEMA), streamed=streamed)
    assert json.loads(text_of(made)) == {"city": "tok0", "rank": 1}
    assert "rank" in json.dumps(upstream.last()["body"])


async def test_a_schema_beside_tools_reaches_every_provider(models: Models, upstream: Upstream) -> None:
    for model in WIRES:
        await models.complete(ask(model, 'guide [[say={"city": "x", "rank": 2}]]', output_schema=SCHEMA, tools=(ADD,)))
        body = json.dumps(upstream.last()["body"])
        assert "rank" in body
        assert "Adds two numbers." in body


async def test_json_in_a_fence_is_unwrapped(models: Models) -> None:
    made = await models.complete(ask("anthropic:claude-3-haiku-20240307", '[[say=```json\n{"a": 1}\n```]]', output_schema=SCHEMA))
    assert json.loads(text_of(made)) == {"a": 1}


@pytest.mark.parametrize("model", ["pdfs:some/model", *WIRES[1:]])
async def test_images_and_pdfs_reach_the_model_byte_by_byte(models: Models, upstream: Upstream, model: str) -> None:
    await models.complete(ask(model, "look", PNG, PDF))
    seen = {item["media_type"]: item["sha256"] for item in upstream.last()["attachments"]}
    assert seen == {file.media_type: hashlib.sha256(file.data).hexdigest() for file in (PNG, PDF)}


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("vllm:m", PNG),
        ("vllm:m", PDF),
        ("tiny:m", PDF),
        ("openai:gpt-6-luna", File("application/zip", b"PK")),
        *((m, File("image/bmp", b"BM")) for m in WIRES),
    ],
)
async def test_an_attachment_that_the_model_does_not_take_is_a_clear_problem(
    models: Models, upstream: Upstream, model: str, file: File
) -> None:
    assert not await models.accepts(model, file.media_type)
    with pytest.raises(ModelAttachmentRefused) as refused:
        await models.complete(ask(model, "look", file))
    assert file.media_type in refused.value.detail
    assert upstream.ledger() == []


@pytest.mark.parametrize(
    ("model", "path", "value"),
    [
        ("openai:gpt-6-luna", ("reasoning_effort",), "high"),
        ("openai-responses:gpt-6-luna", ("reasoning", "effort"), "high"),
        ("google:gemini-3.8-flash", ("generationConfig", "thinkingConfig", "thinking_level"), "HIGH"),
        ("anthropic:claude-sonnet-4-6", ("thinking", "type"), "adaptive"),
    ],
)
async def test_the_reasoning_effort_reaches_the_model(
    models: Models, upstream: Upstream, model: str, path: tuple[str, ...], value: str
) -> None:
    assert await models.reasoning(model)
    await models.complete(ask(model, "think", reasoning=Reasoning("high")))
    found: Any = upstream.last()["body"]
    for step in path:
        found = found[step]
    assert found == value


async def test_a_budget_for_thinking_leaves_room_for_the_answer(models: Models, upstream: Upstream) -> None:
    call = ask("anthropic:claude-haiku-4-5", "think", reasoning=Reasoning("high"), settings={"max_tokens": 4000})
    await models.complete(call)
    assert upstream.last()["body"]["thinking"] == {"type": "enabled", "budget_tokens": 2000}


async def test_a_model_without_reasoning_says_so(models: Models) -> None:
    assert not await models.reasoning("openai:gpt-4o")
    assert not await models.reasoning("scripted:echo")
    with pytest.raises(ModelSettingUnsupported):
        await models.complete(ask("openai:gpt-4o", "think", reasoning=Reasoning()))


_SETTINGS: dict[str, object] = {
    "temperature": 0.25,
    "max_tokens": 321,
    "top_p": 0.75,
    "top_k": 11,
    "stop_sequences": ["END"],
    "seed": 7,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "parallel_tool_calls": False,
    "tool_choice": "required",
}
_NOT_ON_THE_WIRE = {
    "vllm": {"top_k"},
    "openai": {"top_k"},
    "openai-responses": {"top_k", "seed", "stop_sequences", "presence_penalty", "frequency_penalty"},
    "anthropic": {"seed", "presence_penalty", "frequency_penalty"},
    "google": {"parallel_tool_calls"},
}


@pytest.mark.parametrize(
    "model", ["vllm:m", "openai:gpt-4o", "openai-responses:gpt-4o", "anthropic:claude-sonnet-4-6", "google:gemini-3.8-flash"]
)
async def test_every_setting_is_seen_by_the_upstream_or_refused(models: Models, upstream: Upstream, model: str) -> None:
    await models.complete(ask(model, "x", tools=(ADD,), settings={"max_tokens": 9}))
    for name, value in _SETTINGS.items():
        plain = {"max_tokens": 9, "tool_choice": "auto"}
        await models.complete(ask(model, "x", tools=(ADD,), settings=plain))
        before = upstream.last()["body"]
        call = ask(model, "x", tools=(ADD,), settings={**plain, name: value})
        if name in _NOT_ON_THE_WIRE[model.partition(":")[0]]:
            with pytest.raises(ModelSettingUnsupported, match=name):
                await models.check_settings(model, {name: value})
            with pytest.raises(ModelSettingUnsupported):
                await models.complete(call)
        else:
            await models.check_settings(model, {name: value})
            await models.complete(call)
            assert upstream.last()["body"] != before, f"{model} takes {name} and nothing of it is on the wire"


@pytest.mark.parametrize(("model", "settings"), [("openai:gpt-6.1-sol", {"temperature": 0.5}), ("anthropic:claude-opus-5-5", {"top_k": 3})])
async def test_settings_that_a_reasoning_model_ignores_are_refused(models: Models, model: str, settings: dict[str, object]) -> None:
    with pytest.raises(ModelSettingUnsupported):
        await models.check_settings(model, settings)


async def test_a_required_tool_is_required_of_whichever_call_says_so(models: Models, upstream: Upstream) -> None:
    for step in (0, 1):
        await models.complete(ask("vllm:m", "x", tools=(ADD,), settings={"tool_choice": "required"}, step=step))
        assert upstream.last()["body"]["tool_choice"] == "required"


@each_wire
async def test_a_cut_answer_says_that_its_length_was_the_limit(models: Models, model: str) -> None:
    assert (await models.complete(ask(model, "x [[finish=length]]"))).finish_reason == "length"


@each_wire
@both_ways
async def test_tokens_that_nobody_reported_are_estimated(models: Models, model: str, streamed: bool) -> None:
    made = await answer(models, ask(model, "x [[n=40 fault=nousage]]"), streamed=streamed)
    usage = made.spent[0].usage
    assert usage.is_estimated
    assert usage.completion_tokens == -(-len(text_of(made)) // 4)
    assert usage.prompt_tokens > 0
