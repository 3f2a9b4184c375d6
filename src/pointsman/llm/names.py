"""What model names mean: `provider:model`, the providers this gateway knows and whether they are configured."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from pointsman.llm.errors import ModelNotConfigured, ModelUnknown
from pointsman.settings import ProviderSettings, Settings

Wire = Literal["openai", "openai-responses", "anthropic", "google", "scripted"]

_PUBLIC = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as the settings describe it. `section` names its variables: `POINTSMAN_PROVIDERS__<section>__…`."""

    name: str
    wire: Wire
    section: str
    base_url: str
    api_key: SecretStr | None
    limits: ProviderSettings
    key_variable: str | None
    built_in: bool
    own_address: bool  # of the operator's choice, where a key may not be needed

    @property
    def configured(self) -> bool:
        """Whether it can be asked: a public provider needs a key, one at an address of the operator's choice may have none."""
        return self.own_address or self.key_variable is None or self.api_key is not None

    def variable(self, limit: str) -> str:
        """The variable that sets one of its limits."""
        return f"POINTSMAN_PROVIDERS__{self.section}__{limit.upper()}"


class Providers:
    """All providers by name."""

    def __init__(self, settings: Settings) -> None:
        self.by_name = {provider.name: provider for provider in _known(settings)}

    def split(self, model: str) -> tuple[Provider, str]:
        """The provider and the model's own name in it. Raises ModelUnknown."""
        name, colon, rest = model.partition(":")
        if not colon or not rest.strip() or len(model) > _LONGEST_NAME or not model.isprintable():
            hint = self._hint(name, rest)
            raise ModelUnknown(f"A model is named `provider:model`, got {model[:80]!r}.", hint=hint)
        provider = self.by_name.get(name)
        if provider is None:
            raise ModelUnknown(f"There is no provider named {name[:80]!r}.", hint=self._hint(name, rest))
        return provider, rest

    def require_configured(self, model: str) -> tuple[Provider, str]:
        """The same, if the provider can be asked. Raises ModelUnknown, ModelNotConfigured."""
        provider, rest = self.split(model)
        if not provider.configured:
            raise ModelNotConfigured(
                f"No key is set for the provider {provider.name!r}.",
                hint=f"Set {provider.key_variable} (or {provider.variable('base_url')} for a server that needs no key) and restart.",
            )
        return provider, rest

    def _hint(self, name: str, rest: str) -> str:
        close = difflib.get_close_matches(name.lower(), self.by_name, n=1, cutoff=0.6)
        if close:
            return f"Did you mean {close[0]}:{rest or '…'}?"
        return f"Known providers: {', '.join(sorted(self.by_name))}. Set POINTSMAN_PROVIDERS__<NAME>__BASE_URL to add one."


def _known(settings: Settings) -> list[Provider]:
    given = {name.lower(): section for name, section in settings.providers.items()}
    openai = _built_in("openai", "openai", given, settings.openai_api_key, settings.openai_base_url)
    responses = _built_in("openai-responses", "openai-responses", given, settings.openai_api_key, settings.openai_base_url)
    anthropic = _built_in("anthropic", "anthropic", given, settings.anthropic_api_key, settings.anthropic_base_url)
    google = _built_in("google", "google", given, settings.google_api_key, settings.google_base_url)
    known = [openai, responses, anthropic, google, _scripted(given)]
    taken = {provider.name.replace("-", "_") for provider in known}
    return known + [_named(name, section) for name, section in given.items() if name not in taken and section.base_url]


def _built_in(name: Wire, wire: Wire, given: dict[str, ProviderSettings], key: SecretStr | None, url: str | None) -> Provider:
    """A provider with a public address; `openai-responses` shares `openai`'s settings unless it has a section of its own."""
    vendor = name.removesuffix("-responses")
    own = name.replace("-", "_")  # no shell sets a variable with a dash
    section = own if own in given else vendor
    limits = given.get(section, ProviderSettings())
    base_url = limits.base_url or url
    return Provider(
        name=name,
        wire=wire,
        section=section.upper(),
        base_url=base_url or _PUBLIC[vendor],
        api_key=limits.api_key or key,
        limits=limits,
        key_variable=f"{vendor.upper()}_API_KEY",
        built_in=True,
        own_address=base_url is not None,
    )


def _scripted(given: dict[str, ProviderSettings]) -> Provider:
    # A script says what happens, so nothing is repeated behind its back unless the operator asks for it.
    limits = given.get("scripted", ProviderSettings(retries=0))
    return Provider(
        name="scripted",
        wire="scripted",
        section="SCRIPTED",
        base_url="",
        api_key=None,
        limits=limits,
        key_variable=None,
        built_in=True,
        own_address=False,
    )


def _named(name: str, section: ProviderSettings) -> Provider:
    return Provider(
        name=name,
        wire="openai",
        section=name.upper(),
        base_url=section.base_url or "",
        api_key=section.api_key,
        limits=section,
        key_variable=None,
        built_in=False,
        own_address=True,
    )
