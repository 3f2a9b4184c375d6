"""A fake upstream for the session, and `Models` that talk to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes.upstream import Upstream, start_upstream
from tests.llm.asking import KEYS

from pointsman.llm.models import Models
from pointsman.settings import ProviderSettings, Settings


@pytest.fixture(scope="session")
def running_upstream() -> Generator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    running_upstream.reset()
    return running_upstream


@pytest.fixture
async def models(upstream: Upstream) -> AsyncGenerator[Models]:
    """Every provider at the fake upstream, with limits short enough to wait for."""
    limits: dict[str, Any] = {"first_byte": timedelta(seconds=0.5), "idle": timedelta(seconds=0.7), "total": timedelta(seconds=3)}
    providers = {
        "openai": ProviderSettings(base_url=upstream.openai_url, **limits),
        "anthropic": ProviderSettings(base_url=upstream.anthropic_url, **limits),
        "google": ProviderSettings(base_url=upstream.google_url, **limits),
        "vllm": ProviderSettings(base_url=upstream.openai_url, context_images=False, **limits),
        "pdfs": ProviderSettings(base_url=upstream.openai_url, context_pdf=True, **limits),
        "tiny": ProviderSettings(base_url=upstream.openai_url, concurrency=2, **limits),
        "dead": ProviderSettings(base_url="http://127.0.0.1:9/v1", retries=0),
    }
    settings = Settings(
        openai_api_key=KEYS["openai"], anthropic_api_key=KEYS["anthropic"], google_api_key=KEYS["google"], providers=providers
    )
    made = Models(settings)
    yield made
    await made.aclose()
