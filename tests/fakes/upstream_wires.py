"""How the fake upstream's answers look on the wire: OpenAI Chat Completions and Responses, Anthropic messages, Google generateContent."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from tests.fakes import upstream_vectors
from tests.fakes.upstream_plan import Asked, Json, Plan

_SIGNATURE = base64.b64encode(b"signed by the fake upstream").decode()
_encode = msgspec.json.Encoder().encode


class Reported(msgspec.Struct, frozen=True):
    """The usage of an answer in neutral words: all input tokens, all output tokens, and the parts of them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class Placed(NamedTuple):
    """A usage record in a stream: in which tick (one past the last: in the tail), where it ends there, and whether it is the last word."""

    tick: int
    end: int
    usage: Reported
    is_final: bool


class Frames:
    """A stream, cut where it may be paced: each tick is a token with whatever has to stand before it."""

    def __init__(self) -> None:
        self.ticks: list[bytes] = []
        self.reports: list[Placed] = []
        self._pending = b""

    def now(self, data: bytes, usage: Reported | None = None, *, is_final: bool = True) -> None:
        """Goes out together with the next token, or with the end; `usage` is what it reports."""
        self._pending += data
        if usage is not None:
            self.reports.append(Placed(len(self.ticks), len(self._pending), usage, is_final))

    def tick(self, data: bytes, usage: Reported | None = None) -> None:
        """One token, which may report the usage so far."""
        self.now(data, usage, is_final=False)
        self.ticks.append(self._pending)
        self._pending = b""

    def reported(self, ticks: int, tail: int = 0) -> list[Placed]:
        """What the first so many ticks report, and so many bytes of the tail."""
        return [report for report in self.reports if report.tick < ticks or (report.tick == len(self.ticks) and report.end <= tail)]

    @property
    def usage_ends(self) -> int:
        """How many bytes of the tail reach up to the end of its last usage record; the whole tail if it has none."""
        return max((report.end for report in self.reports if report.tick == len(self.ticks)), default=len(self._pending))

    @property
    def tail(self) -> bytes:
        """What stands after the last token."""
        return self._pending


def usage_of(asked: Asked, plan: Plan) -> Reported:
    """What the upstream counts for this answer."""
    if asked.inputs:
        return Reported(asked.prompt_tokens, 0, 0, 0, 0)
    calls = sum(max(1, len(args) // 4) + 5 for _, args in plan.calls)
    reasoning = plan.reasoning + plan.think
    text = 0 if plan.calls else len(plan.tokens())
    return Reported(
        prompt_tokens=asked.prompt_tokens + plan.cached + plan.cache_write,
        completion_tokens=text + calls + reasoning,
        cached_tokens=plan.cached,
        cache_write_tokens=plan.cache_write,
        reasoning_tokens=reasoning,
    )


def _so_far(asked: Asked, plan: Plan, tokens: int) -> Reported | None:
    """The usage that a provider with running counts sends beside a token; others send none."""
    if plan.fault != "cumulative":
        return None
    return msgspec.structs.replace(usage_of(asked, plan), completion_tokens=tokens, reasoning_tokens=min(tokens, plan.think))


def text_of(plan: Plan) -> str | None:
    """The answer's text; a turn that calls tools has none."""
    return None if plan.calls else "".join(plan.tokens())


def whole(asked: Asked, plan: Plan, number: int) -> bytes:
    """The answer as one JSON body."""
    if asked.inputs:
        return _encode(upstream_vectors.body(asked, dimensions=plan.dimensions, reports=plan.fault != "nousage"))
    make: dict[str, Callable[[Asked, Plan, int], Json]] = {
        "openai": _openai_body,
        "responses": _responses_body,
        "anthropic": _anthropic_body,
        "google": _google_body,
    }
    return _encode(make[asked.wire](asked, plan, number))


def streamed(asked: Asked, plan: Plan, number: int) -> Frames:
    """The answer as server-sent events."""
    make: dict[str, Callable[[Asked, Plan, int], Frames]] = {
        "openai": _openai_frames,
        "responses": _responses_frames,
        "anthropic": _anthropic_frames,
        "google": _google_frames,
    }
    return make[asked.wire](asked, plan, number)


def error_body(wire: str, status: int, message: str) -> bytes:
    """An error in the provider's spelling."""
    if wire == "anthropic":
        kinds = {
            400: "invalid_request_error",
            401: "authentication_error",
            404: "not_found_error",
            429: "rate_limit_error",
            529: "overloaded_error",
        }
        return _encode({"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}, "request_id": "req_fake"})
    if wire == "google":
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return _encode({"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}})
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": None}})


def error_frame(wire: str, message: str) -> bytes:
    """An error in the middle of a stream."""
    if wire == "anthropic":
        return _event("error", {"type": "error", "error": {"type": "overloaded_error", "message": message}})
    if wire == "responses":
        return _event("error", {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 999})
    return b"data: " + error_body(wire, 503, message) + b"\n\n"


def _data(value: Json) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def _event(name: str, value: Json) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encode(value) + b"\n\n"


# --- OpenAI Chat Completions


def _openai_usage(usage: Reported) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def _openai_finish(plan: Plan) -> str | None:
    if plan.fault == "cut":
        return None
    if plan.calls:
        return "tool_calls"
    return {"length": "length", "filter": "content_filter"}.get(plan.finish, "stop")


def _openai_body(asked: Asked, plan: Plan, number: int) -> Json:
    calls = [
        {"id": f"call_{number}_{i}", "type": "function", "function": {"name": name, "arguments": args}}
        for i, (name, args) in enumerate(plan.calls)
    ]
    message: Json = {"role": "assistant", "content": text_of(plan), "refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = calls
    if plan.think:
        message["reasoning_content"] = "".join(plan.thoughts())
    body: Json = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _openai_finish(plan)}],
    }
    return body if plan.fault == "nousage" else {**body, "usage": _openai_usage(usage_of(asked, plan))}


def _openai_frames(asked: Asked, plan: Plan, number: int) -> Frames:
    base: Json = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": asked.model}
    frames = Frames()

    def chunk(delta: Json, finish: str | None = None) -> bytes:
        return _data({**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    def token(delta: Json) -> None:
        usage = _so_far(asked, plan, len(frames.ticks) + 1)
        counted: Json = {"usage": _openai_usage(usage)} if usage else {}
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        frames.tick(_data({**base, "choices": [choice], **counted}), usage)

    frames.now(chunk({"role": "assistant", "content": None if plan.calls else "", "refusal": None}))
    for text in plan.thoughts():
        token({"reasoning_content": text})
    if not plan.calls:
        for text in plan.tokens():
            token({"content": text})
    for i, (name, args) in enumerate(plan.calls):
        call: Json = {"index": i, "id": f"call_{number}_{i}", "type": "function", "function": {"name": name, "arguments": ""}}
        frames.now(chunk({"tool_calls": [call]}))
        for piece in _pieces(args):
            token({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
    frames.now(chunk({}, _openai_finish(plan)))
    if plan.fault != "nousage" and asked.wants_usage:
        usage = usage_of(asked, plan)
        for _ in range(2 if plan.fault == "twin" else 1):
            frames.now(_data({**base, "choices": [], "usage": _openai_usage(usage)}), usage)
    frames.now(b"data: [DONE]\n\n")
    return frames


def _pieces(args: str) -> list[str]:
    half = len(args) // 2
    return [args[:half], args[half:]]


# --- OpenAI Responses


def _responses_usage(asked: Asked, plan: Plan) -> Json | None:
    if plan.fault == "nousage":
        return None
    usage = usage_of(asked, plan)
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _responses_shell(asked: Asked, number: int) -> Json:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": asked.model,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "output": [],
        "usage": None,
    }


def _responses_items(plan: Plan, number: int) -> list[Json]:
    items: list[Json] = []
    if plan.think:
        summary = [{"type": "summary_text", "text": "".join(plan.thoughts())}]
        items.append(
            {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": _SIGNATURE, "status": "completed"}
        )
    for i, (name, args) in enumerate(plan.calls):
        call = {"type": "function_call", "id": f"fc_{number}_{i}", "call_id": f"call_{number}_{i}", "name": name, "arguments": args}
        items.append({**call, "status": "completed"})
    if not plan.calls:
        part = {"type": "output_text", "text": text_of(plan), "annotations": [], "logprobs": []}
        items.append({"type": "message", "id": f"msg_{number}", "status": "completed", "role": "assistant", "content": [part]})
    return items


def _responses_body(asked: Asked, plan: Plan, number: int) -> Json:
    body = {**_responses_shell(asked, number), "output": _responses_items(plan, number), "status": "completed"}
    if plan.finish in {"length", "filter"}:
        reason = "max_output_tokens" if plan.finish == "length" else "content_filter"
        body |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    if plan.fault == "cut":
        body |= {"status": "in_progress"}
    return body | {"usage": _responses_usage(asked, plan)}


class _Sequence:
    """Events of the Responses API carry a running number."""

    def __init__(self) -> None:
        self._next = -1

    def event(self, kind: str, **fields: Any) -> bytes:
        self._next += 1
        return _event(kind, {"type": kind, "sequence_number": self._next, **fields})


def _responses_frames(asked: Asked, plan: Plan, number: int) -> Frames:
    frames, sequence = Frames(), _Sequence()
    shell = _responses_shell(asked, number)
    frames.now(sequence.event("response.created", response=shell))
    frames.now(sequence.event("response.in_progress", response=shell))
    for index, item in enumerate(_responses_items(plan, number)):
        write = {"reasoning": _responses_reasoning, "function_call": _responses_call, "message": _responses_message}[item["type"]]
        write(frames, sequence, plan, index, item)
    body = _responses_body(asked, plan, number)
    usage = None if plan.fault == "nousage" else usage_of(asked, plan)
    frames.now(sequence.event(f"response.{body['status']}", response=body), usage)
    return frames


def _responses_reasoning(frames: Frames, sequence: _Sequence, plan: Plan, index: int, item: Json) -> None:
    place: Json = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    text: str = item["summary"][0]["text"]
    frames.now(sequence.event("response.output_item.added", output_index=index, item={**item, "summary": [], "status": "in_progress"}))
    frames.now(sequence.event("response.reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""}))
    for token in plan.thoughts():
        frames.tick(sequence.event("response.reasoning_summary_text.delta", **place, delta=token))
    frames.now(sequence.event("response.reasoning_summary_text.done", **place, text=text))
    frames.now(sequence.event("response.reasoning_summary_part.done", **place, part={"type": "summary_text", "text": text}))
    frames.now(sequence.event("response.output_item.done", output_index=index, item=item))


def _responses_call(frames: Frames, sequence: _Sequence, _plan: Plan, index: int, item: Json) -> None:
    place: Json = {"item_id": item["id"], "output_index": index}
    frames.now(sequence.event("response.output_item.added", output_index=index, item={**item, "arguments": "", "status": "in_progress"}))
    for piece in _pieces(item["arguments"]):
        frames.tick(sequence.event("response.function_call_arguments.delta", **place, delta=piece))
    frames.now(sequence.event("response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"]))
    frames.now(sequence.event("response.output_item.done", output_index=index, item=item))


def _responses_message(frames: Frames, sequence: _Sequence, plan: Plan, index: int, item: Json) -> None:
    place: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part: Json = item["content"][0]
    frames.now(sequence.event("response.output_item.added", output_index=index, item={**item, "content": [], "status": "in_progress"}))
    frames.now(sequence.event("response.content_part.added", **place, part={**part, "text": ""}))
    for token in plan.tokens():
        frames.tick(sequence.event("response.output_text.delta", **place, delta=token, logprobs=[]))
    frames.now(sequence.event("response.output_text.done", **place, text=part["text"], logprobs=[]))
    frames.now(sequence.event("response.content_part.done", **place, part=part))
    frames.now(sequence.event("response.output_item.done", output_index=index, item=item))


# --- Anthropic messages


def _anthropic_usage(asked: Asked, plan: Plan) -> Json:
    if plan.fault == "nousage":  # this format cannot do without it, so those who do not count say 0
        return {"input_tokens": 0, "output_tokens": 0}
    usage = usage_of(asked, plan)
    return {
        "input_tokens": asked.prompt_tokens,  # this provider counts cached tokens apart
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }


def _anthropic_stop(plan: Plan) -> str | None:
    if plan.fault == "cut":
        return None
    if plan.calls:
        return "tool_use"
    return {"length": "max_tokens", "filter": "refusal"}.get(plan.finish, "end_turn")


def _anthropic_blocks(plan: Plan, number: int) -> list[Json]:
    blocks: list[Json] = []
    if plan.think:
        blocks.append({"type": "thinking", "thinking": "".join(plan.thoughts()), "signature": _SIGNATURE})
    for i, (name, args) in enumerate(plan.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{number}_{i}", "name": name, "input": msgspec.json.decode(args)})
    if not plan.calls:
        blocks.append({"type": "text", "text": text_of(plan), "citations": None})
    return blocks


def _anthropic_body(asked: Asked, plan: Plan, number: int) -> Json:
    body: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": asked.model}
    body |= {"content": _anthropic_blocks(plan, number), "stop_reason": _anthropic_stop(plan), "stop_sequence": None}
    return body | {"usage": _anthropic_usage(asked, plan)}


def _anthropic_frames(asked: Asked, plan: Plan, number: int) -> Frames:
    frames = Frames()
    usage = _anthropic_usage(asked, plan)
    start = {**_anthropic_body(asked, plan, number), "content": [], "stop_reason": None}
    if plan.fault != "nousage":
        start["usage"] = {**usage, "output_tokens": 1, "output_tokens_details": None}
        first = msgspec.structs.replace(usage_of(asked, plan), completion_tokens=1, reasoning_tokens=0)
    else:
        first = None
    frames.now(_event("message_start", {"type": "message_start", "message": start}), first, is_final=False)
    frames.now(_event("ping", {"type": "ping"}))
    for index, block in enumerate(_anthropic_blocks(plan, number)):
        _anthropic_block(frames, plan, index, block)
    if plan.fault == "cumulative":
        half = _so_far(asked, plan, len(frames.ticks) // 2)
        frames.now(_anthropic_delta(None, {"output_tokens": len(frames.ticks) // 2}), half, is_final=False)
    counted = {name: usage[name] for name in ("output_tokens", "output_tokens_details") if name in usage}
    for _ in range(2 if plan.fault == "twin" else 1):
        frames.now(_anthropic_delta(_anthropic_stop(plan), counted), None if plan.fault == "nousage" else usage_of(asked, plan))
    frames.now(_event("message_stop", {"type": "message_stop"}))
    return frames


def _anthropic_delta(stop: str | None, usage: Json) -> bytes:
    return _event("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage})


def _anthropic_block(frames: Frames, plan: Plan, index: int, block: Json) -> None:
    def delta(**fields: Any) -> bytes:
        return _event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": fields})

    def start(shell: Json) -> None:
        frames.now(_event("content_block_start", {"type": "content_block_start", "index": index, "content_block": shell}))

    if block["type"] == "thinking":
        start({"type": "thinking", "thinking": "", "signature": ""})
        for token in plan.thoughts():
            frames.tick(delta(type="thinking_delta", thinking=token))
        frames.now(delta(type="signature_delta", signature=block["signature"]))
    elif block["type"] == "tool_use":
        start({**block, "input": {}})
        for piece in _pieces(_encode(block["input"]).decode()):
            frames.tick(delta(type="input_json_delta", partial_json=piece))
    else:
        start({"type": "text", "text": ""})
        for token in plan.tokens():
            frames.tick(delta(type="text_delta", text=token))
    frames.now(_event("content_block_stop", {"type": "content_block_stop", "index": index}))


# --- Google generateContent


def _google_usage(usage: Reported) -> Json:
    return {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,  # this provider counts thoughts apart
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
    }


def _google_finish(plan: Plan) -> str | None:
    if plan.fault == "cut":
        return None
    return {"length": "MAX_TOKENS", "filter": "SAFETY"}.get(plan.finish, "STOP")


def _google_calls(plan: Plan, number: int) -> list[Json]:
    calls: list[Json] = []
    for i, (name, args) in enumerate(plan.calls):
        part: Json = {"functionCall": {"id": f"call_{number}_{i}", "name": name, "args": msgspec.json.decode(args)}}
        calls.append(part | ({"thoughtSignature": _SIGNATURE} if plan.think and i == 0 else {}))
    return calls


def _google_shell(asked: Asked, plan: Plan, number: int, parts: list[Json], *, last: bool) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    body: Json = {"candidates": [candidate], "modelVersion": asked.model, "responseId": f"resp-{number}"}
    if not last:
        return body
    if finish := _google_finish(plan):
        candidate["finishReason"] = finish
    return body if plan.fault == "nousage" else body | {"usageMetadata": _google_usage(usage_of(asked, plan))}


def _google_body(asked: Asked, plan: Plan, number: int) -> Json:
    parts: list[Json] = [{"text": "".join(plan.thoughts()), "thought": True}] if plan.think else []
    parts += _google_calls(plan, number) if plan.calls else [{"text": text_of(plan)}]
    return _google_shell(asked, plan, number, parts, last=True)


def _google_frames(asked: Asked, plan: Plan, number: int) -> Frames:
    frames = Frames()

    def token(parts: list[Json]) -> None:
        usage = _so_far(asked, plan, len(frames.ticks) + 1)
        counted: Json = {"usageMetadata": _google_usage(usage)} if usage else {}
        frames.tick(_data(_google_shell(asked, plan, number, parts, last=False) | counted), usage)

    for text in plan.thoughts():
        token([{"text": text, "thought": True}])
    if plan.calls:
        token(_google_calls(plan, number))
    else:
        for text in plan.tokens():
            token([{"text": text}])
    usage = None if plan.fault == "nousage" else usage_of(asked, plan)
    for _ in range(2 if plan.fault == "twin" else 1):
        frames.now(_data(_google_shell(asked, plan, number, [{"text": ""}], last=True)), usage)
    return frames
