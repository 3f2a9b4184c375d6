"""What `GET /v2/models` lists: providers, whether they can be asked, and some names; nothing is asked or loaded for it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pointsman.llm.names import Provider

# Names to begin with, not a list of what exists: any name goes to the provider as it is.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-6.1-sol", "gpt-6-luna", "gpt-5.6-terra"),
    "openai-responses": ("gpt-6.1-sol", "gpt-6-luna", "gpt-5.6-terra"),
    "anthropic": ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
    "google": ("gemini-3.1-pro-preview", "gemini-3.8-flash", "gemini-3.5-flash-lite"),
    "scripted": ("echo", "script"),
}


class CatalogueEntry(msgspec.Struct, frozen=True):
    """A provider. `models` are examples, as `provider:model`; `missing` names the variable that would configure it."""

    provider: str
    api: str
    configured: bool
    built_in: bool
    models: list[str]
    missing: str | None


def list_catalogue(providers: Iterable[Provider]) -> list[CatalogueEntry]:
    """One entry a provider, by name."""
    return [_entry(provider) for provider in sorted(providers, key=lambda provider: provider.name)]


def _entry(provider: Provider) -> CatalogueEntry:
    return CatalogueEntry(
        provider=provider.name,
        api=provider.wire,
        configured=provider.configured,
        built_in=provider.built_in,
        models=[f"{provider.name}:{model}" for model in EXAMPLES.get(provider.name, ())],
        missing=None if provider.configured else provider.key_variable,
    )
