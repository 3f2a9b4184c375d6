"""The fake upstream is wire-true: the providers' own SDKs understand it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types
from tests.fakes.upstream import Upstream

PARAMETERS: Any = {"type": "object", "properties": {"a": {"type": "integer"}}}
CALLS = 'add [[think=2]] [[tool=add;args={"a":1}]] [[tool=add;args={"a":2}]]'


def test_chat_completions_as_the_openai_sdk_reads_them(upstream: Upstream) -> None:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client:
        whole = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi [[n=3 cached=4 reasoning=2]]"}])
        assert whole.choices[0].message.content == "tok0 tok1 tok2 "
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage
        assert whole.usage.completion_tokens == 5
        assert whole.usage.prompt_tokens_details
        assert whole.usage.prompt_tokens_details.cached_tokens == 4
        tool: Any = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}
        with client.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": CALLS}], tools=[tool], stream_options={"include_usage": True}
        ) as stream:
            final = stream.get_final_completion()
        calls = final.choices[0].message.tool_calls or []
        assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [("add", {"a": 1}), ("add", {"a": 2})]
        assert final.usage
        assert final.usage.prompt_tokens == upstream.last()["usage"]["prompt_tokens"]


def test_responses_as_the_openai_sdk_reads_them(upstream: Upstream) -> None:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client:
        whole = client.responses.create(model="m", input="hi [[n=3 think=2]]")
        assert whole.output_text == "tok0 tok1 tok2 "
        assert [item.type for item in whole.output] == ["reasoning", "message"]
        tool: Any = {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": False}
        with client.responses.stream(model="m", input=CALLS, tools=[tool]) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert [item.type for item in final.output] == ["reasoning", "function_call", "function_call"]
        assert final.usage
        assert final.usage.output_tokens_details.reasoning_tokens == 2


def test_messages_as_the_anthropic_sdk_reads_them(upstream: Upstream) -> None:
    with anthropic.Anthropic(base_url=upstream.anthropic_url, api_key="k", max_retries=0) as client:
        whole = client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi [[n=3 think=2 cached=4]]"}])
        assert [block.type for block in whole.content] == ["thinking", "text"]
        assert whole.usage.cache_read_input_tokens == 4
        assert whole.stop_reason == "end_turn"
        with client.messages.stream(
            model="m",
            max_tokens=9,
            messages=[{"role": "user", "content": CALLS}],
            tools=[{"name": "add", "input_schema": PARAMETERS}],
        ) as stream:
            final = stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "tool_use", "tool_use"]
        assert final.stop_reason == "tool_use"
        assert final.usage.output_tokens == upstream.last()["usage"]["completion_tokens"]


def test_generate_content_as_the_google_sdk_reads_it(upstream: Upstream) -> None:
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=upstream.google_url))
    whole = client.models.generate_content(model="gemini-x", contents="hi [[n=3 think=2 cached=4]]")
    assert whole.text == "tok0 tok1 tok2 "
    assert whole.usage_metadata
    assert whole.usage_metadata.thoughts_token_count == 2
    assert whole.usage_metadata.cached_content_token_count == 4
    chunks = list(client.models.generate_content_stream(model="gemini-x", contents="hi [[n=3]]"))
    assert "".join(chunk.text or "" for chunk in chunks) == "tok0 tok1 tok2 "
    assert chunks[-1].candidates
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    client.close()


@pytest.mark.parametrize(
    ("marker", "error"), [("500", openai.InternalServerError), ("429", openai.RateLimitError), ("401", openai.AuthenticationError)]
)
def test_errors_as_the_openai_sdk_reads_them(upstream: Upstream, marker: str, error: type[Exception]) -> None:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client, pytest.raises(error):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"hi [[fault={marker}]]"}])


def test_a_failure_that_passes_happens_so_often_and_no_more(upstream: Upstream) -> None:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi [[fault=503;fail_times=2]]"}])
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi [[fault=503;fail_times=2]]"}])
    assert [entry["status"] for entry in upstream.ledger()] == [503, 503, 200]


def test_the_ledger_says_which_usage_was_really_written_out(upstream: Upstream) -> None:
    """Whole, twice, beside each token, before a break, and never."""
    markers = ("", "fault=twin", "fault=cumulative", "fault=close;late=1", "fault=close;after=2", "fault=truncate;after=2", "fault=nousage")
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client:
        for marker in markers:
            asked: Any = [{"role": "user", "content": f"hi [[n=3 itl=1 {marker}]]"}]
            stream = client.chat.completions.create(model="m", messages=asked, stream=True, stream_options={"include_usage": True})
            with suppress(openai.APIConnectionError, httpx2.TransportError):
                for _ in stream:
                    pass
    entries = upstream.settled()
    written = [[record["completion_tokens"] for record in entry["reports"]] for entry in entries]
    assert written == [[3], [3, 3], [1, 2, 3, 3], [3], [], [], []]
    assert [entry["is_final"] for entry in entries] == [True, True, True, True, False, False, False]
    assert [entry["output"] for entry in entries] == [3, 3, 3, 3, 2, 2, 3]
    assert upstream.ledger(compact=True)[1]["reports"] == entries[1]["reports"]


def test_what_was_taken_from_the_ledger_is_in_it_no_more(upstream: Upstream) -> None:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="k", max_retries=0) as client:
        for text in ("one", "two"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
        assert [entry["text"] for entry in upstream.take()] == ["one", "two"]
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "three"}])
    assert [entry["text"] for entry in upstream.ledger()] == ["three"]
