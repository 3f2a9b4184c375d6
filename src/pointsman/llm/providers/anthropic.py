"""Anthropic's messages API."""

from __future__ import annotations

from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.profiles.anthropic import ANTHROPIC_SAMPLING_PARAMS, ANTHROPIC_THINKING_BUDGET_MAP
from pydantic_ai.providers.anthropic import AnthropicProvider

from pointsman.llm.connections import open_client
from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall
from pointsman.llm.providers.adapter import SdkAdapter
from pointsman.llm.providers.rehearsal import rehearse

_LEAST_BUDGET = 1024
_ANSWER = (
    b'{"id":"x","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn",'
    b'"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
)


def open_adapter(provider: Provider) -> SdkAdapter:
    """An adapter for the provider. Loads the SDK's modules and TLS certificates: not for the event loop."""
    rehearse(_make, provider, "claude-haiku-4-5", _ANSWER)
    return _make(provider, open_client(provider.limits))


def _make(provider: Provider, client: httpx2.AsyncClient) -> SdkAdapter:
    sdk = AsyncAnthropic(
        api_key=provider.api_key.get_secret_value() if provider.api_key else "none",
        auth_token=None,
        base_url=provider.base_url,
        http_client=client,
        max_retries=0,
        # Other than the SDK's default, so that it does not refuse long answers that are not streamed: ours is the limit.
        timeout=provider.limits.total.total_seconds() + 1,
    )
    return _Anthropic(provider, client, sdk)


class _Anthropic(SdkAdapter):
    def __init__(self, provider: Provider, client: httpx2.AsyncClient, sdk: AsyncAnthropic) -> None:
        super().__init__(provider, client)
        self._library_provider = AnthropicProvider(anthropic_client=sdk)

    def make_model(self, name: str) -> Model[Any]:
        return AnthropicModel(name, provider=self._library_provider)

    def settings(self, model: str, call: ModelCall) -> dict[str, Any]:
        """Where thinking has a budget, it is part of `max_tokens` and must leave room for the answer."""
        settings = super().settings(model, call)
        most: int | None = settings.get("max_tokens")
        profile: dict[str, Any] = {**self.profile(model)}
        if call.reasoning is None or most is None or profile.get("anthropic_supports_adaptive_thinking", False):
            return settings
        budget = min(ANTHROPIC_THINKING_BUDGET_MAP[call.reasoning.effort], most // 2)
        if budget >= _LEAST_BUDGET:  # below that no division helps, and the provider says so
            del settings["thinking"]
            settings["anthropic_thinking"] = {"type": "enabled", "budget_tokens": budget}
        return settings

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:
        made = self.model(model)
        profile: dict[str, Any] = {**made.profile}
        dropped = frozenset(made.unsupported_settings)
        if reasoning and self.reasons(model):
            # The API refuses these beside thinking, all but a `top_p` near 1.
            dropped |= {"temperature", "top_k"}
        return dropped | frozenset(ANTHROPIC_SAMPLING_PARAMS) if profile.get("anthropic_disallows_sampling_settings") else dropped
