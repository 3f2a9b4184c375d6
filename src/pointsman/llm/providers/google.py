"""Google's generateContent API."""

from __future__ import annotations

from typing import Any

import httpx2
from google.genai.client import Client
from google.genai.types import HttpOptions
from pydantic_ai.models import Model
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.google import GoogleProvider

from pointsman.llm.connections import open_client
from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall
from pointsman.llm.providers.adapter import SdkAdapter
from pointsman.llm.providers.rehearsal import rehearse

_ANSWER = b'{"candidates":[{"content":{"role":"model","parts":[{"text":"x"}]},"index":0,"finishReason":"STOP"}],"modelVersion":"x"}'


def open_adapter(provider: Provider) -> SdkAdapter:
    """An adapter for the provider. Loads the SDK's modules and TLS certificates: not for the event loop."""
    rehearse(_make, provider, "gemini-3.8-flash", _ANSWER)
    return _make(provider, open_client(provider.limits))


def _make(provider: Provider, client: httpx2.AsyncClient) -> SdkAdapter:
    options = HttpOptions(
        base_url=provider.base_url,
        httpx_async_client=client,  # without it the SDK takes aiohttp, past every limit
        timeout=int(provider.limits.total.total_seconds() * 1000),
    )
    key = provider.api_key.get_secret_value() if provider.api_key else "none"
    return _Google(provider, client, Client(vertexai=False, api_key=key, http_options=options))


class _Google(SdkAdapter):
    def __init__(self, provider: Provider, client: httpx2.AsyncClient, sdk: Client) -> None:
        super().__init__(provider, client)
        self._library_provider = GoogleProvider(client=sdk)

    def make_model(self, name: str) -> Model[Any]:
        return GoogleModel(name, provider=self._library_provider)

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:  # noqa: ARG002 - the same either way here
        return frozenset(self.model(model).unsupported_settings)

    def takes_schema(self, profile: ModelProfile, call: ModelCall) -> bool:
        known: dict[str, Any] = {**profile}
        return not call.tools or bool(known.get("google_supports_tool_combination", False))
