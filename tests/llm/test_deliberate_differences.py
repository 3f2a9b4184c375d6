"""Where the thin adapter differs from the SDK-backed one on purpose; everything else is equal (`test_differential`)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.llm.asking import ask
from tests.llm.differing import Both, Served, both_adapters

from pointsman.llm.port import AssistantMessage, Text, Thinking, UserMessage

USAGE = {"prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43}
TOP = {"id": "c", "object": "chat.completion.chunk", "created": 1764000000, "model": "m"}
CALL = ask("unused:m", "hi")
ADD = {"name": "add", "arguments": '{"a":1}'}


@pytest.fixture
async def both() -> AsyncGenerator[Both]:
    async with both_adapters() as made:
        yield made


def chunk(delta: Any, finish: str | None = None, **more: Any) -> str:
    return f"data: {json.dumps({**TOP, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}], **more})}\n\n"


def streamed(*events: str) -> Served:
    return Served("".join((*events, "data: [DONE]\n\n")).encode())


def whole(message: dict[str, Any], **more: Any) -> Served:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}], "usage": USAGE, **more}
    return Served(json.dumps(body).encode(), media_type="application/json")


NAMED = {"id": "c", "object": "chat.completion", "created": 1764000000, "model": "m"}
MORE_IS_READ: dict[str, tuple[Served, bool]] = {
    "an event without data is passed over, as the specification of server-sent events wants it": (
        streamed("id: 7\n", chunk({"content": "ok"}), ": a comment\n\n", chunk({}, "stop")),
        True,
    ),
    "a finish reason counts also where the message beside it is null": (streamed(chunk({"content": "ok"}), chunk(None, "stop")), True),
    "fields that are not part of the answer may be missing": (whole({"content": "ok"}), False),
    "a call's arguments may be an object": (
        whole({"content": "ok", "tool_calls": [{"id": "1", "type": "function", "function": {**ADD, "arguments": {"a": 1}}}]}, **NAMED),
        False,
    ),
    "a call need not say that it is one of a function": (
        whole({"content": "ok", "tool_calls": [{"id": "1", "function": ADD}]}, **NAMED),
        False,
    ),
}


@pytest.mark.parametrize("sentence", MORE_IS_READ)
async def test_an_answer_that_an_sdk_refuses_is_read(both: Both, sentence: str) -> None:
    served, stream = MORE_IS_READ[sentence]
    ours, theirs = await both.ask("vllm", "m", CALL, served, stream=stream)
    assert theirs.code == "model-answer-invalid"
    assert ours.code == ""
    assert ours.reply["message"]["parts"][0]["text"] == "ok"
    assert [part["args"] for part in ours.reply["message"]["parts"][1:]] in ([], ['{"a":1}'])


async def test_a_system_prompt_that_goes_out_as_the_users_still_stands_first(both: Both) -> None:
    ours, theirs = await both.ask("openai", "o1-mini", CALL, whole({"content": "ok"}, **NAMED), stream=False)
    assert [message["content"] for message in ours.request["messages"]] == ["You are brief.", "hi"]
    assert [message["content"] for message in theirs.request["messages"]] == ["hi", "You are brief."]


async def test_thoughts_from_the_responses_api_name_no_field_of_this_one(both: Both) -> None:
    thought = AssistantMessage((Thinking("hm", id="rs_1", provider="openai"), Text("Hello.")), "openai-responses:gpt-6-luna")
    call = ask("unused:m", "", messages=(UserMessage((Text("hi"),)), thought, UserMessage((Text("so?"),))))
    ours, theirs = await both.ask("openai", "gpt-6-luna", call, whole({"content": "ok"}, **NAMED), stream=False)
    assert "rs_1" not in json.dumps(ours.request)
    assert theirs.request["messages"][2]["rs_1"] == "hm"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_an_end_is_given_up(both: Both, stream: bool) -> None:
    body = b"data: " + b"x" * 5_000_000 if stream else b'{"choices": "' + b"x" * 34_000_000
    both.served = Served(body, media_type="application/json")
    ours, _ = await both.adapters("vllm")
    outcome = await both.outcome(ours, "m", CALL, stream=stream)
    assert outcome.code == "model-answer-invalid"
