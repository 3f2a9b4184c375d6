"""A model call as the body of a Chat Completions request."""

from __future__ import annotations

import base64
import uuid
from typing import Any, cast

import msgspec
import pydantic_core

from pointsman.llm.errors import ModelSettingUnsupported
from pointsman.llm.port import (
    AssistantMessage,
    File,
    ModelCall,
    Text,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from pointsman.llm.providers.chat_completions.capabilities import Capabilities
from pointsman.llm.providers.chat_completions.schemas import Schemas
from pointsman.llm.providers.chat_completions.special_tokens import break_tokens, break_tokens_in_texts

_Message = dict[str, Any]
# Settings that are sent under a name that is not theirs are not here.
_SAME_NAME = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_THOUGHT_FIELDS = ("reasoning", "reasoning_content")
_STREAMED = {"include_usage": True}


class RequestWriter:
    """Writes the requests to one model. `author` is the provider's name in the messages of a history."""

    def __init__(self, model: str, author: str, capabilities: Capabilities) -> None:
        self._model = model
        self._author = author
        self._capabilities = capabilities
        self._schemas = Schemas(capabilities)
        self._break = break_tokens if capabilities.breaks_tokens else _as_it_is

    def write(self, call: ModelCall, *, stream: bool) -> bytes:
        """The body. Raises ModelSettingUnsupported."""
        body: dict[str, Any] = {"model": self._model, "messages": self._messages(call), "stream": stream}
        if stream:
            body["stream_options"] = _STREAMED
        if call.tools:
            self._add_tools(body, call)
        if call.settings:
            self._add_settings(body, call)
        if call.reasoning is not None and self._capabilities.reasons:
            effort = self._capabilities.efforts[call.reasoning.effort]
            if effort is not None:
                body["reasoning_effort"] = effort
        if call.output_schema is not None:
            self._add_response_format(body, call.output_schema)
        return msgspec.json.encode(body)

    # --- what is beside the messages

    def _add_tools(self, body: dict[str, Any], call: ModelCall) -> None:
        settings = call.settings
        choice = settings.get("tool_choice") or "auto"
        if choice == "required":
            self._refuse_forcing(call)
        body["tools"] = [self._schemas.tool(tool) for tool in _named_once(call.tools)]
        body["tool_choice"] = choice
        if "parallel_tool_calls" in settings:
            body["parallel_tool_calls"] = settings["parallel_tool_calls"]

    def _refuse_forcing(self, call: ModelCall) -> None:
        known = self._capabilities
        thinks = known.thinks_unasked or call.reasoning is not None
        reason = known.forcing_refused_while_reasoning if thinks else known.forcing_refused
        if reason:
            name = f"{self._author}:{self._model}"
            raise ModelSettingUnsupported(f"{name}: tool_choice='required' is not supported by model {self._model!r}. {reason}", model=name)

    def _add_settings(self, body: dict[str, Any], call: ModelCall) -> None:
        settings, known = call.settings, self._capabilities
        dropped = known.unsupported_while_reasoning if call.reasoning is not None else known.unsupported
        for name in _SAME_NAME:
            if name in settings and name not in dropped:
                body[name] = settings[name]
        if "max_tokens" in settings and "max_tokens" not in dropped:
            body[known.max_tokens] = settings["max_tokens"]
        if "stop_sequences" in settings and "stop_sequences" not in dropped:
            body["stop"] = settings["stop_sequences"]

    def _add_response_format(self, body: dict[str, Any], schema: dict[str, Any]) -> None:
        if self._capabilities.native_schema:
            body["response_format"] = self._schemas.response_format(schema)
        elif self._capabilities.json_object:
            body["response_format"] = {"type": "json_object"}

    # --- messages

    def _messages(self, call: ModelCall) -> list[_Message]:
        role = self._capabilities.system_role
        messages: list[_Message] = [{"role": role, "content": call.system}] if call.system else []
        if call.output_schema is not None and (instructions := self._schemas.instructions(call.output_schema)):
            messages.append({"role": role, "content": instructions})
        opening = len(messages)
        for message in call.messages:
            if isinstance(message, UserMessage):
                messages.append({"role": "user", "content": self._user_content(message)})
            elif isinstance(message, ToolMessage):
                messages += [self._tool_result(part) for part in message.parts]
            else:
                self._add_assistant(messages, message)
        _complete_thoughts(messages, opening)
        return messages

    def _user_content(self, message: UserMessage) -> str | list[_Message]:
        parts = message.parts
        if len(parts) == 1 and isinstance(parts[0], Text):
            return self._break(parts[0].text)
        content: list[_Message] = [_file(part) if isinstance(part, File) else {"type": "text", "text": part.text} for part in parts]
        return _with_broken_tokens(content) if self._capabilities.breaks_tokens else content

    def _tool_result(self, part: ToolResult) -> _Message:
        content = self._break(part.content)
        if part.is_error:
            content = msgspec.json.encode({"error": content}).decode()
        return {"role": "tool", "tool_call_id": part.id or _new_id(), "content": content}

    def _add_assistant(self, messages: list[_Message], message: AssistantMessage) -> None:
        texts: list[str] = []
        calls: list[_Message] = []
        thoughts: dict[str, list[str]] = {}
        aside: list[str] = []  # thoughts that the user passes on, to models that would learn to write them
        own = message.model.partition(":")[0].removesuffix("-responses") == self._author
        for part in message.parts:
            if isinstance(part, Text):
                texts.append(self._break(part.text))
            elif isinstance(part, ToolCall):
                calls.append(self._call(part, own=own))
            elif own:  # another provider's thoughts would go out as plain text
                self._add_thought(part, texts, thoughts, aside)
        if aside:
            messages.append({"role": "user", "content": "\n\n".join(aside)})
        if texts or calls:
            made: _Message = {"role": "assistant", **{field: "\n\n".join(pieces) for field, pieces in thoughts.items()}}
            made["content"] = "\n\n".join(texts) if texts else None
            if calls:
                made["tool_calls"] = calls
            messages.append(made)

    def _add_thought(self, part: Thinking, texts: list[str], thoughts: dict[str, list[str]], aside: list[str]) -> None:
        text = self._break(part.text)
        if part.provider == self._author and part.id and part.id != "content":
            # The ids of other APIs name no field of this one.
            if part.id in _THOUGHT_FIELDS:
                thoughts.setdefault(part.id, []).append(text)
        elif not self._capabilities.thoughts_as_user:
            texts.append("\n".join((self._capabilities.thinking_tags[0], text, self._capabilities.thinking_tags[1])))
        elif text:
            aside.append(f"<assistant_thinking>\n{text}\n</assistant_thinking>")

    def _call(self, part: ToolCall, *, own: bool) -> _Message:
        function = {"name": self._break(part.name), "arguments": self._break(_compact(part.args))}
        made: _Message = {"id": part.id or _new_id(), "type": "function", "function": function}
        extra = part.details.get("extra_content") if part.details else None
        if extra and own and part.provider == self._author:
            made["extra_content"] = extra
        return made


def _as_it_is(text: str) -> str:
    return text


def _named_once(tools: tuple[ToolSpec, ...]) -> list[ToolSpec]:
    return list({tool.name: tool for tool in tools}.values())


def _file(part: File) -> _Message:
    data = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
    if part.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data}}
    return {"type": "file", "file": {"file_data": data, "filename": f"filename.{part.media_type.rpartition('/')[2]}"}}


def _with_broken_tokens(content: list[_Message]) -> list[_Message]:
    """Neighbouring texts are one to the server."""
    made: list[_Message] = []
    texts: list[str] = []
    for part in [*content, None]:
        if part is not None and part["type"] == "text":
            texts.append(part["text"])
            continue
        made += [{"type": "text", "text": text} for text in break_tokens_in_texts(texts)]
        texts = []
        if part is not None:
            made.append(part)
    return made


def _complete_thoughts(messages: list[_Message], opening: int) -> None:
    """Servers that take thoughts back in a field want it on every call of a tool since the user spoke, if only empty."""
    sent = {field for message in messages[opening:] if message["role"] == "assistant" for field in _THOUGHT_FIELDS if field in message}
    if len(sent) != 1:
        return
    (field,) = sent
    for message in reversed(messages):
        if message["role"] == "user":
            break
        if message.get("tool_calls"):
            message.setdefault(field, "")


def _compact(arguments: str) -> str:
    """The arguments without the model's whitespace; what is no JSON object is sent as one, which servers insist on."""
    if not arguments:
        return "{}"
    try:
        value = pydantic_core.from_json(arguments)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        value = {"INVALID_JSON": arguments}
    return pydantic_core.to_json(cast("dict[str, Any]", value)).decode()


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex}"
