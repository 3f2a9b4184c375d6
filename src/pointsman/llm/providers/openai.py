"""OpenAI's Chat Completions and Responses APIs, and everybody who speaks the former."""

from __future__ import annotations

from typing import Any

import httpx2
from openai import AsyncOpenAI, Omit
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIStreamedResponse
from pydantic_ai.profiles import ModelProfile, merge_profile
from pydantic_ai.profiles.openai import SAMPLING_PARAMS, OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.usage import RequestUsage

from pointsman.llm.connections import open_client
from pointsman.llm.names import Provider
from pointsman.llm.providers.adapter import PDF, SdkAdapter
from pointsman.llm.providers.rehearsal import rehearse

# Without it a stream that was cut off passes for a whole answer.
_STRICT = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
_FOREIGN_HEADERS: Any = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
# What only OpenAI itself can be relied on to know.
_COMPATIBLE = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)


_CHAT_ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
_RESPONSES_ANSWER = (
    b'{"id":"x","object":"response","created_at":1,"model":"x","status":"completed","parallel_tool_calls":true,"tool_choice":"auto",'
    b'"tools":[],"output":[{"type":"message","id":"x","status":"completed","role":"assistant","content":[{"type":"output_text",'
    b'"text":"x","annotations":[]}]}]}'
)


def open_adapter(provider: Provider) -> SdkAdapter:
    """An adapter for the provider. Loads the SDK's modules and TLS certificates: not for the event loop."""
    rehearse(_make, provider, "gpt-4o", _RESPONSES_ANSWER if provider.wire == "openai-responses" else _CHAT_ANSWER)
    return _make(provider, open_client(provider.limits))


def _make(provider: Provider, client: httpx2.AsyncClient) -> SdkAdapter:
    sdk = AsyncOpenAI(
        api_key=provider.api_key.get_secret_value() if provider.api_key else "none",
        base_url=provider.base_url,
        http_client=client,
        max_retries=0,
        # The SDK would add the operator's OpenAI organisation from the environment, also for others.
        default_headers=None if provider.built_in else _FOREIGN_HEADERS,
    )
    kind = _Responses if provider.wire == "openai-responses" else _Chat
    return kind(provider, client, sdk)


class _OpenAI(SdkAdapter):
    def __init__(self, provider: Provider, client: httpx2.AsyncClient, sdk: AsyncOpenAI) -> None:
        super().__init__(provider, client)
        self.library_provider = (
            OpenAIProvider(openai_client=sdk) if provider.built_in else OpenAICompatibleProvider(provider.name, openai_client=sdk)
        )

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:
        made = self.model(model)
        profile: dict[str, Any] = {**made.profile}
        dropped = set(made.unsupported_settings) | set(profile.get("openai_unsupported_model_settings", ()))
        if profile.get("openai_supports_reasoning", False) and (reasoning or _always_reasons(profile)):
            dropped |= set(SAMPLING_PARAMS)
        return frozenset(dropped)

    def accepts(self, model: str, media_type: str) -> bool:
        if media_type == PDF and not self.provider.built_in and not self.provider.limits.context_pdf:
            return False
        return super().accepts(model, media_type)


class _LastUsage(OpenAIStreamedResponse):
    """Usage that is said twice, or beside each chunk, is a running count: the library would add the records up."""

    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        super()._add_usage(usage, reported=reported, cumulative=reported or cumulative)


class _ChatModel(OpenAIChatModel):
    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _LastUsage


class _Chat(_OpenAI):
    def make_model(self, name: str) -> Model[Any]:
        known = self.library_provider.model_profile(name)
        profile: ModelProfile = merge_profile(known, _STRICT, OpenAIModelProfile() if self.provider.built_in else _COMPATIBLE)
        return _ChatModel(name, provider=self.library_provider, profile=profile)


class _Responses(_OpenAI):
    def make_model(self, name: str) -> Model[Any]:
        return OpenAIResponsesModel(name, provider=self.library_provider)


def _always_reasons(profile: dict[str, Any]) -> bool:
    """Whether the model reasons even when it is not asked to, or cannot be kept from it."""
    efforts = profile.get("openai_reasoning_efforts")
    can_stop = "none" in efforts if efforts is not None else profile.get("openai_supports_reasoning_effort_none", False)
    return not can_stop or profile.get("thinking_enabled_by_default", False)
