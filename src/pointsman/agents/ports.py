"""What agents ask of models when a config is written; the llm slice's `Models` answers."""

from __future__ import annotations

from typing import Protocol


class ModelChecks(Protocol):
    """Says whether a model can be used as configured, without asking it."""

    def require(self, model: str) -> None:
        """Raises a Problem for a name that is no `provider:model` of a provider known here."""
        ...

    async def check_settings(self, model: str, settings: dict[str, object], *, reasoning: bool = False) -> None:
        """Raises a Problem for a setting that has no effect on this model. May load a library, which takes seconds."""
        ...
