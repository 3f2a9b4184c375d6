"""Which embedding model the settings name, and by what name its vectors are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pointsman.llm.errors import ModelProblem
from pointsman.llm.names import Provider, Providers
from pointsman.settings import PREFIX, Settings, SettingsInvalid

LOCAL = "local:/"
"""How the model in a folder of this host begins; it costs nothing."""
_VARIABLE = f"{PREFIX}KNOWLEDGE__EMBEDDER"
_SCRIPTED = "words"
_WIRES = ("openai", "google", "scripted")
_NO_LIMITS = "scripted"


@dataclass(frozen=True, slots=True)
class EmbedderName:
    """A model that makes vectors.

    `model` is `provider:model`, as usage has it; `identity` is what vectors are marked with, and says the dimensions where they are set:
    vectors of two identities are never compared. `folder` is where a model of this host lies.
    """

    model: str
    identity: str
    provider: Provider
    own: str
    folder: Path | None = None


def read_name(settings: Settings) -> EmbedderName | None:
    """The embedder that the settings name. Raises SettingsInvalid for one that cannot be asked."""
    named, dimensions = settings.knowledge.embedder, settings.knowledge.embedder_dimensions
    if named is None:
        return None
    providers = Providers(settings)
    if named.startswith(LOCAL):
        return _local(Path(named.removeprefix("local:")), providers, dimensions)
    try:
        provider, own = providers.require_configured(named)
    except ModelProblem as problem:
        raise SettingsInvalid(f"{_VARIABLE}: {problem.detail}", hint=problem.hint) from None
    if provider.wire not in _WIRES or (provider.wire == "scripted" and own != _SCRIPTED):
        raise SettingsInvalid(
            f"{_VARIABLE}: {named} makes no vectors.",
            hint=f"Name a model of openai, google or a provider of yours, local:/folder, or scripted:{_SCRIPTED}.",
        )
    return EmbedderName(named, _identity(named, dimensions), provider, own)


def _local(folder: Path, providers: Providers, dimensions: int | None) -> EmbedderName:
    if dimensions is not None:
        raise SettingsInvalid(f"{_VARIABLE}_DIMENSIONS: a model in a folder has the dimensions that it has.", hint="Unset it.")
    model = f"{LOCAL}{folder.name}"
    return EmbedderName(model, model, providers.by_name[_NO_LIMITS], folder.name, folder)


def _identity(model: str, dimensions: int | None) -> str:
    return model if dimensions is None else f"{model}/{dimensions}"
