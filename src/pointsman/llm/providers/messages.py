"""Our messages as pydantic-ai's, and its answers as ours."""

from __future__ import annotations

import msgspec
from pydantic_ai.messages import (
    BinaryContent,
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition, StructuredOutputMode
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from pointsman.llm.port import (
    AssistantMessage,
    Message,
    ModelCall,
    Text,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
)


def to_messages(call: ModelCall, provider: str) -> list[ModelMessage]:
    """The conversation; neighbours of the same side are joined, as every provider wants turns to alternate."""
    messages: list[ModelMessage] = []
    for message in call.messages:
        made = _message(message, _library_name(provider))
        last = messages[-1] if messages else None
        if isinstance(made, ModelRequest) and isinstance(last, ModelRequest):
            messages[-1] = ModelRequest(parts=[*last.parts, *made.parts])
        elif isinstance(made, ModelResponse) and not made.parts:
            continue
        else:
            messages.append(made)
    return messages


def to_parameters(call: ModelCall, output_mode: StructuredOutputMode) -> ModelRequestParameters:
    """System prompt, tools and output schema."""
    parameters = ModelRequestParameters(function_tools=[_tool(tool) for tool in call.tools])
    if call.system:
        parameters.instruction_parts = [InstructionPart(content=call.system)]
    if call.output_schema is not None:
        parameters.output_mode = output_mode
        parameters.output_object = OutputObjectDefinition(json_schema=call.output_schema, name=schema_name(call.output_schema))
    return parameters


def from_response(response: ModelResponse, model: str) -> AssistantMessage:
    """The answer; parts that this gateway never asks for (files, a provider's own tools) are left out."""
    parts: list[Text | ToolCall | Thinking] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            if part.content:
                parts.append(Text(part.content))
        elif isinstance(part, ToolCallPart):
            parts.append(_tool_call(part))
        elif isinstance(part, ThinkingPart):
            parts.append(
                Thinking(
                    part.content, id=part.id, signature=part.signature, provider=part.provider_name, details=part.provider_details or None
                )
            )
    return AssistantMessage(tuple(parts), model)


def from_usage(usage: RequestUsage) -> Usage | None:
    """What the provider reported, or None where it did not.

    pydantic-ai's totals include cached, cache-write and reasoning tokens for every provider, as a reader of a bill expects.
    """
    if usage.unmeasured_requests or not (usage.input_tokens or usage.output_tokens):
        return None
    return Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        cached_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.output_reasoning_tokens,
    )


def _message(message: Message, provider: str) -> ModelMessage:
    if isinstance(message, UserMessage):
        return ModelRequest(parts=[UserPromptPart(_user_content(message))])
    if isinstance(message, ToolMessage):
        returns = [
            ToolReturnPart(part.name, part.content, part.id, outcome="failed" if part.is_error else "success") for part in message.parts
        ]
        return ModelRequest(parts=returns)
    return _assistant(message, provider)


def _user_content(message: UserMessage) -> str | list[UserContent]:
    if len(message.parts) == 1 and isinstance(message.parts[0], Text):
        return message.parts[0].text
    return [part.text if isinstance(part, Text) else BinaryContent(part.data, media_type=part.media_type) for part in message.parts]


def _assistant(message: AssistantMessage, provider: str) -> ModelResponse:
    author, _, model = message.model.partition(":")
    author = _library_name(author)
    parts: list[TextPart | ToolCallPart | ThinkingPart] = []
    for part in message.parts:
        if isinstance(part, Text):
            parts.append(TextPart(part.text))
        elif isinstance(part, ToolCall):
            parts.append(
                ToolCallPart(part.name, part.args, part.id, id=part.item, provider_name=part.provider, provider_details=part.details)
            )
        elif author == provider:  # another provider's thoughts would go out as plain text
            parts.append(
                ThinkingPart(part.text, id=part.id, signature=part.signature, provider_name=part.provider, provider_details=part.details)
            )
    return ModelResponse(parts=parts, model_name=model or None, provider_name=author or None)


def _library_name(provider: str) -> str:
    """pydantic-ai's name of a provider, which decides whether a signature goes back to it."""
    return provider.removesuffix("-responses")


def _tool(tool: ToolSpec) -> ToolDefinition:
    return ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)


def _tool_call(part: ToolCallPart) -> ToolCall:
    args = part.args if isinstance(part.args, str) else msgspec.json.encode(part.args or {}).decode()
    return ToolCall(
        id=part.tool_call_id,
        name=part.tool_name,
        args=args or "{}",
        item=part.id,
        provider=part.provider_name,
        details=part.provider_details or None,
    )


def schema_name(schema: dict[str, object]) -> str:
    """The name that an output schema goes by: providers take letters, digits, `_` and `-` in it."""
    title = schema.get("title")
    name = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in str(title or ""))
    return name[:64] or "output"
