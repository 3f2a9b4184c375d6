"""Makes up exchanges, the same ones for the same seed: calls of every shape, and answers as rude as servers send them."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.llm.asking import ADD
from tests.llm.differing import Served

from pointsman.llm.port import (
    AssistantMessage,
    File,
    Message,
    ModelCall,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolSpec,
    UserMessage,
)

# A model of each kind that pydantic-ai asks in a way of its own.
MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-6-luna"),
    ("openai", "o3-mini"),
    ("openai", "gpt-5-pro"),
    ("openai", "ft:gpt-4o:us:x"),
    ("vllm", "meta-llama/Llama-3.3-70B-Instruct"),
    ("vllm", "some/model"),
    ("ollama", "qwen3:8b"),
    ("ollama", "gpt-oss:20b"),
    ("deepseek", "deepseek-reasoner"),
    ("openrouter", "deepseek/deepseek-r1"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("openrouter", "google/gemini-3-pro"),
    ("openrouter", "qwen/qwen3-coder"),
    ("openrouter", "openai/gpt-5-mini"),
    ("openrouter", "moonshotai/kimi-k2"),
    ("mistral", "mistral-large-latest"),
    ("mistral", "mistralai/magistral-small"),
    ("groq", "groq/compound"),
    ("together", "openai/gpt-oss-120b"),
    ("azure", "gpt-4o"),
    ("lmstudio", "local"),
)
SEARCH = ToolSpec(
    "search",
    "",
    {
        "title": "Search",
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "default": "x"},
            "kind": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "more": {"$ref": "#/$defs/More", "description": "More"},
        },
        "required": ["query"],
        "$defs": {"More": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    },
)
SCHEMA = {
    "title": "City guide!",
    "type": "object",
    "properties": {"city": {"type": "string"}, "rank": {"type": "integer"}},
    "required": ["city", "rank"],
    "additionalProperties": False,
}
WORDS = ("Hello", " there", ", ", "größe", " 🌍", "\n\n", " ", "<think>", "</think>", "<thinking>", "</thinking>", "a < b", "[x]", "```")
TOKENS = (
    "<|im_start|>system",
    "[INST] do",
    "<\uff5cUser\uff5c>",
    "see <|eot_id|> and ]~b]",
    "<\u200d|im_end|>",
    "\u200d",
    "<\u200b",
    "|im_start|>",
)
USAGE = {"prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43}


def make_call(rng: random.Random) -> ModelCall:
    """A call with some of everything."""
    settings: dict[str, Any] = {}
    if rng.random() < 0.5:
        choices = {
            "max_tokens": 77,
            "temperature": 0.25,
            "top_p": 0.5,
            "seed": 7,
            "presence_penalty": 0.5,
            "stop_sequences": ["END", "STOP"],
        }
        settings = {name: choices[name] for name in rng.sample(sorted(choices), rng.randint(1, 4))}
    tools = rng.choice(((), (ADD,), (ADD, SEARCH), (SEARCH,)))
    if tools and rng.random() < 0.4:
        settings |= rng.choice(
            ({"tool_choice": "required"}, {"tool_choice": "none"}, {"parallel_tool_calls": False}, {"tool_choice": "auto"})
        )
    return ModelCall(
        ("unused:by-adapters",),
        rng.choice(("", "You are brief.", "Never say <|im_end|>.")),
        make_history(rng),
        tools=tools,
        settings=settings,
        output_schema=SCHEMA if rng.random() < 0.2 else None,
        reasoning=Reasoning(rng.choice(("low", "medium", "high"))) if rng.random() < 0.3 else None,
    )


def make_history(rng: random.Random) -> tuple[Message, ...]:
    """A conversation that ends with what the user or a tool said."""
    messages: list[Message] = []
    for turn in range(rng.choice((0, 0, 1, 3))):
        messages.append(UserMessage((Text(_text(rng)),)))
        parts: list[Text | ToolCall | Thinking] = [Text(_text(rng)) for _ in range(rng.choice((0, 1, 1, 2)))]
        if rng.random() < 0.4:
            field = rng.choice(("reasoning", "reasoning_content", "content", None))
            parts.insert(0, Thinking(_text(rng), id=field, provider=rng.choice(("vllm", "openai", "openrouter", "deepseek", None))))
        if rng.random() < 0.4:
            arguments = rng.choice(('{"a": 1, "b": 2}', "", "not json", '{"a":1.0,"t":"\\u003c|im_end|>"}', "[1]", '{"t":"[INST]"}'))
            parts.append(ToolCall(f"call_{turn}", "add", arguments))
        author = rng.choice(("vllm:some/model", "openai:gpt-4o", "anthropic:claude", "openrouter:x", "deepseek:deepseek-reasoner"))
        messages.append(AssistantMessage(tuple(parts), author))
        if isinstance(parts[-1] if parts else None, ToolCall):
            messages.append(ToolMessage((ToolResult(f"call_{turn}", "add", _text(rng), is_error=rng.random() < 0.3),)))
    asked: list[Text | File] = [Text(_text(rng))]
    if rng.random() < 0.2:
        asked += [File("image/png", bytes(range(40))), Text(_text(rng)), Text(rng.choice(("|im_start|>", "and")))]
    messages.append(UserMessage(tuple(asked)))
    return tuple(messages)


def make_answer(rng: random.Random, *, stream: bool) -> Served:
    """An answer; one in five is none."""
    if rng.random() < 0.12:
        return _refusal(rng)
    if not stream:
        return Served.at_random(rng, _completion(rng), media_type=rng.choice(("application/json", "application/json; charset=utf-8")))
    body = b"".join(_events(rng))
    if rng.random() < 0.1:
        body = body[: rng.randrange(1, len(body))]
    return Served.at_random(rng, body)


def _text(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.25:
        words.insert(rng.randrange(len(words)), rng.choice(TOKENS))
    return "".join(words)


def _refusal(rng: random.Random) -> Served:
    status = rng.choice((302, 400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 451, 500, 501, 502, 503, 504, 529))
    code = rng.choice(
        (None, "model_not_found", "insufficient_quota", "context_length_exceeded", "invalid_api_key", "rate_limit_exceeded", 1113)
    )
    message = rng.choice(("No.", "This model's maximum context length is 4096 tokens.", "We are overloaded."))
    body: Any = rng.choice(
        (
            {"error": {"message": message, "type": rng.choice((None, "invalid_request_error", "insufficient_quota")), "code": code}},
            {"object": "error", "message": message, "code": code},
            {"detail": message},
            {"error": message},
            [{"error": {"message": message, "code": code}}],
            "plain words",
            "",
        )
    )
    headers = rng.choice(((), (("Retry-After", "7"),), (("retry-after-ms", "1500"),), (("Retry-After", "soon"),), (("Retry-After", "-3"),)))
    text = body if isinstance(body, str) else json.dumps(body)
    return Served.at_random(rng, text.encode(), status=status, media_type="application/json", headers=headers)


def _usage(rng: random.Random) -> dict[str, Any]:
    usage: dict[str, Any] = dict(USAGE)
    if rng.random() < 0.6:
        usage["prompt_tokens_details"] = rng.choice(({"cached_tokens": 5}, {"cached_tokens": 5, "cache_write_tokens": 3}, {}, None))
        usage["completion_tokens_details"] = rng.choice(({"reasoning_tokens": 4}, {}, None))
    return usage


def _completion(rng: random.Random) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": rng.choice((None, "", _text(rng), _text(rng), "Plain."))}
    if rng.random() < 0.3:
        message[rng.choice(("reasoning", "reasoning_content"))] = rng.choice(("Hm.", "", None, _text(rng)))
    if rng.random() < 0.3:
        message["tool_calls"] = [_call(rng, n) for n in range(rng.randint(0, 3))]
    if rng.random() < 0.1:
        message["refusal"] = "I would rather not."
    finish = rng.choice(("stop", "stop", "stop", "length", "tool_calls", "content_filter", "function_call", "eos", None))
    made: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if rng.random() < 0.8:
        made["usage"] = _usage(rng)
    body = json.dumps(made, ensure_ascii=rng.random() < 0.5).encode()
    return body[: rng.randrange(len(body))] if rng.random() < 0.05 else body


def _call(rng: random.Random, number: int) -> dict[str, Any]:
    arguments = rng.choice(('{"a": 1, "b": 2}', "{}", "", '{"a": "<\u200d|im_end|>"}', '{"a": "<\\u200d|im_end|>"}', "broken"))
    made: dict[str, Any] = {"id": f"call_{number}", "type": "function", "function": {"name": "add", "arguments": arguments}}
    if rng.random() < 0.2:
        made["extra_content"] = {"google": {"thought_signature": "c2ln"}}
    return made


def _events(rng: random.Random) -> list[bytes]:
    choices: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": rng.choice(("", None))}}]
    choices += [{"delta": _piece(rng)} for _ in range(rng.randint(0, 14))]
    if rng.random() < 0.25:
        choices += _call_pieces(rng)
    if rng.random() < 0.92:
        choices.append({"delta": {}, "finish_reason": rng.choice(("stop", "stop", "length", "tool_calls", "content_filter", "eos"))})
    chunks: list[Any] = [_chunk(choice) for choice in choices]
    if rng.random() < 0.8:
        if rng.random() < 0.3 and choices[-1].get("finish_reason"):
            chunks[-1]["usage"] = _usage(rng)
        else:
            chunks.append({**_chunk({}), "choices": [], "usage": _usage(rng)})
    if rng.random() < 0.08:
        chunks.insert(rng.randrange(len(chunks)), {"error": _error(rng)})
    if rng.random() < 0.05:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(("{broken", "nonsense")))
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    events = [_framed(rng, chunk, end) for chunk in chunks]
    if rng.random() < 0.8:
        events.append(f"data: [DONE]{end}{end}".encode())
    return events


def _piece(rng: random.Random) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.65:
        return {"content": rng.choice((*WORDS, *TOKENS))}
    if kind < 0.85:
        return {rng.choice(("reasoning", "reasoning_content")): rng.choice(("hm", " so", "", None)), "content": rng.choice((None, ""))}
    return rng.choice(({"refusal": None}, {"content": None}, {}, {"content": [{"type": "text", "text": "part"}, {"type": "reference"}]}))


def _call_pieces(rng: random.Random) -> list[dict[str, Any]]:
    """The pieces of up to three calls, in turns."""
    waiting: list[list[dict[str, Any]]] = []
    for index in range(rng.randint(1, 3)):
        call, arguments = _call(rng, index), '{"a": 1, "b": "<\u200d|im_end|>"}'
        call["index"] = index
        call["function"]["arguments"] = ""
        cuts = sorted(rng.randrange(len(arguments)) for _ in range(3))
        pieces = [arguments[a:b] for a, b in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        waiting.append([call, *({"index": index, "function": {"arguments": piece}} for piece in pieces)])
    made: list[dict[str, Any]] = []
    while any(waiting):
        calls = [pieces.pop(0) for pieces in waiting if pieces and rng.random() < 0.6]
        if calls:
            made.append({"delta": {"tool_calls": calls}})
    return made


def _error(rng: random.Random) -> Any:
    return rng.choice(
        (
            {"message": "Overloaded", "type": "overloaded_error", "code": None},
            {"message": "Too fast", "code": "rate_limit_exceeded"},
            {"message": "Used up", "code": "insufficient_quota"},
            {"message": "Provider returned error", "code": 502},
            {"message": "maximum context length is 10", "code": None},
            {"message": "unknown", "code": "model_not_found"},
            {"message": "bad key", "code": "invalid_api_key"},
            {"message": "it broke", "type": "server_error"},
            {"message": "strange", "code": "strange"},
            "only words",
        )
    )


def _chunk(choice: dict[str, Any]) -> dict[str, Any]:
    full = {"index": 0, "finish_reason": None, **choice}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "m", "choices": [full]}


def _framed(rng: random.Random, chunk: Any, end: str) -> bytes:
    text = chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=rng.random() < 0.5)
    shape = rng.random()
    before = f": a comment{end}{end}" if shape < 0.1 else f"event: delta{end}" if shape < 0.15 else end if shape < 0.2 else ""
    name = "data:" if shape > 0.85 else "data: "
    if shape > 0.95 and not isinstance(chunk, str):  # an event of several lines
        text = json.dumps(chunk, indent=1).replace("\n", f"{end}{name}")
    return f"{before}{name}{text}{end}{end}".encode()
