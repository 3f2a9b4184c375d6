"""One attempt at one model through `pydantic_ai.direct`, for every provider that pydantic-ai has a Model class for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponsePart,
    ModelResponsePartDelta,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model, StreamedResponse
from pydantic_ai.output import StructuredOutputMode
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall, ReasoningDelta, TextDelta, Usage
from pointsman.llm.providers.failures import UPSTREAM_FAILURES, as_problem
from pointsman.llm.providers.messages import from_response, from_usage, to_messages, to_parameters
from pointsman.llm.providers.port import FinishReason, Reply
from pointsman.llm.providers.replies import Ending, is_finish, judge, so_far

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"

_KEPT_MODELS = 200
_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}


@dataclass(slots=True)
class _Progress:
    """What has come of an answer so far, for the bill of an attempt that fails in the middle."""

    characters: int = 0
    began: bool = False


class SdkAdapter(ABC):
    """A provider behind pydantic-ai's Model class; a subclass makes the Model and knows what it would silently drop."""

    def __init__(self, provider: Provider, client: httpx2.AsyncClient) -> None:
        self.provider = provider
        self.client = client
        self._models: OrderedDict[str, Model[Any]] = OrderedDict()

    @abstractmethod
    def make_model(self, name: str) -> Model[Any]:
        """A Model bound to this provider's client."""

    @abstractmethod
    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:
        """The settings that the Model class would drop."""

    def reasons(self, model: str) -> bool:
        return bool(self.profile(model).get("supports_thinking", False))

    def accepts(self, model: str, media_type: str) -> bool:
        profile = self.profile(model)
        if media_type in IMAGES:
            return self.provider.limits.context_images and profile.get("supports_image_input", True)
        documents = profile.get("supported_document_media_types", frozenset({PDF}))
        return media_type == PDF and profile.get("supports_document_input", True) and PDF in documents

    async def complete(self, model: str, call: ModelCall) -> Reply:
        made = self.model(model)
        try:
            response = await model_request(
                made,
                to_messages(call, self.provider.name),
                model_settings=cast("ModelSettings", self.settings(model, call)),
                model_request_parameters=to_parameters(call, self._output_mode(made.profile, call)),
            )
            return self._reply(response, model, call, streamed=False)
        except UPSTREAM_FAILURES as error:
            raise as_problem(error, self.provider, model) from error

    async def stream(self, model: str, call: ModelCall) -> AsyncGenerator[TextDelta | ReasoningDelta | Reply]:
        made, progress = self.model(model), _Progress()
        response: StreamedResponse | None = None
        try:
            async with model_request_stream(
                made,
                to_messages(call, self.provider.name),
                model_settings=cast("ModelSettings", self.settings(model, call)),
                model_request_parameters=to_parameters(call, self._output_mode(made.profile, call)),
            ) as response:
                async for event in response:
                    item = _delta(event, progress)
                    if item is not None:
                        yield item
                reply = self._reply(response.get(), model, call, streamed=True)
        except UPSTREAM_FAILURES as error:
            problem = as_problem(error, self.provider, model)
            problem.produced = progress.characters if progress.began else problem.produced
            problem.reported = _reported_so_far(response)
            raise problem from error
        yield reply

    async def aclose(self) -> None:
        await self.client.aclose()

    def model(self, name: str) -> Model[Any]:
        """The Model of that name, made once; the most recently used ones are kept, for callers choose the names."""
        made = self._models.get(name)
        if made is None:
            made = self._models[name] = self.make_model(name)
            if len(self._models) > _KEPT_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(name)
        return made

    def profile(self, model: str) -> ModelProfile:
        """What pydantic-ai knows about the model."""
        return self.model(model).profile

    def settings(self, model: str, call: ModelCall) -> dict[str, Any]:  # noqa: ARG002 - for those that differ
        """The call's settings in pydantic-ai's words; they are the same but for the tool choice, which ends with the first step."""
        # Else pydantic-ai puts a text of its own before the system prompt of some models.
        settings = {**call.settings, "framing_announcement": "never"}
        if "stop_sequences" in settings:
            settings["stop_sequences"] = list(settings["stop_sequences"])
        if not call.tools:
            settings.pop("tool_choice", None)
            settings.pop("parallel_tool_calls", None)
        if call.reasoning is not None:
            settings["thinking"] = call.reasoning.effort
        return settings

    def _output_mode(self, profile: ModelProfile, call: ModelCall) -> StructuredOutputMode:
        native = profile.get("supports_json_schema_output", False) and self.takes_schema(profile, call)
        return "native" if native else "prompted"

    def takes_schema(self, profile: ModelProfile, call: ModelCall) -> bool:  # noqa: ARG002 - for those that differ
        """Whether the provider takes an output schema beside this call's tools."""
        return True

    def _reply(self, response: ModelResponse, model: str, call: ModelCall, *, streamed: bool) -> Reply:
        """The answer, if it is one: whole, finished, and not withheld."""
        name = f"{self.provider.name}:{model}"
        details = response.provider_details or {}
        reason = response.finish_reason
        ending = Ending(
            _FINISHED.get(reason) if reason else None, details.get("finish_reason"), details.get("refusal", ""), streamed=streamed
        )
        return judge(
            from_response(response, name), ending, from_usage(response.usage), name=name, structured=call.output_schema is not None
        )


def _delta(event: ModelResponseStreamEvent, progress: _Progress) -> TextDelta | ReasoningDelta | None:
    if isinstance(event, PartDeltaEvent):
        return _further(event.delta, progress)
    return _first(event.part, progress) if isinstance(event, PartStartEvent) else None


def _further(delta: ModelResponsePartDelta, progress: _Progress) -> TextDelta | ReasoningDelta | None:
    if isinstance(delta, TextPartDelta):
        return _text(delta.content_delta, progress)
    if isinstance(delta, ThinkingPartDelta):
        return _thought(delta.content_delta or "", progress)
    if isinstance(delta, ToolCallPartDelta):
        progress.characters += len(delta.args_delta) if isinstance(delta.args_delta, str) else 0
    return None


def _first(part: ModelResponsePart, progress: _Progress) -> TextDelta | ReasoningDelta | None:
    progress.began = True
    if isinstance(part, TextPart):
        return _text(part.content, progress)
    if isinstance(part, ThinkingPart):
        return _thought(part.content, progress)
    if isinstance(part, ToolCallPart):
        progress.characters += len(part.args or "") + len(part.tool_name)
    return None


def _text(text: str, progress: _Progress) -> TextDelta | None:
    progress.characters += len(text)
    return TextDelta(text) if text else None


def _thought(text: str, progress: _Progress) -> ReasoningDelta | None:
    progress.characters += len(text)
    return ReasoningDelta(text) if text else None


def _reported_so_far(response: StreamedResponse | None) -> Usage | None:
    """The usage in a stream that failed; before the finish reason it is what the provider had counted by then."""
    if response is None:
        return None
    usage = from_usage(response.usage)
    raw = (response.provider_details or {}).get("finish_reason")
    return usage if is_finish(raw) else so_far(usage)
