"""Opens each provider's adapter when it is first needed, off the event loop."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable
from typing import cast

from pointsman.kit.lasting import keep_what_is_there
from pointsman.llm.bulkhead import Bulkhead
from pointsman.llm.names import Provider
from pointsman.llm.providers.port import Adapter
from pointsman.llm.scripted import ScriptedAdapter

_MODULES = {
    "openai": "pointsman.llm.providers.chat_completions.adapter",
    "openai-responses": "pointsman.llm.providers.openai",
    "anthropic": "pointsman.llm.providers.anthropic",
    "google": "pointsman.llm.providers.google",
}
# Python's import locks deadlock where two threads enter a package with cycles from different sides.
IMPORTING = threading.Lock()
"""Held by whoever imports a provider's library in a thread."""


class Adapters:
    """The adapters and bulkheads of one process."""

    def __init__(self) -> None:
        self._adapters: dict[str, Adapter] = {"scripted": ScriptedAdapter()}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    def bulkhead(self, provider: Provider) -> Bulkhead:
        """The provider's bulkhead."""
        found = self._bulkheads.get(provider.name)
        if found is None:
            found = self._bulkheads[provider.name] = Bulkhead(provider)
        return found

    def find(self, provider: Provider) -> Adapter | None:
        """The adapter, if it is open."""
        return self._adapters.get(provider.name)

    async def get(self, provider: Provider) -> Adapter:
        """The adapter, opened if need be: the first time takes seconds, in a thread."""
        adapter = self._adapters.get(provider.name)
        if adapter is not None:
            return adapter
        async with self._opening.setdefault(provider.name, asyncio.Lock()):
            if provider.name not in self._adapters:
                self._adapters[provider.name] = await asyncio.to_thread(_open, provider)
                keep_what_is_there()
        return self._adapters[provider.name]

    async def aclose(self) -> None:
        """Close all connections."""
        for adapter in list(self._adapters.values()):
            await adapter.aclose()


def _open(provider: Provider) -> Adapter:
    # Imported by name, here and only here: pydantic-ai and an SDK take seconds to load, and most processes need one of them.
    with IMPORTING:
        module = importlib.import_module(_MODULES[provider.wire])
    open_adapter = cast("Callable[[Provider], Adapter]", module.open_adapter)
    return open_adapter(provider)
