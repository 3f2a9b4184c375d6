"""OpenAI's embeddings API, and everybody who speaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.llm.embedding.asking import Asking
from pointsman.llm.embedding.port import Reply, Vector
from pointsman.llm.names import Provider


def open_adapter(provider: Provider, model: str, dimensions: int | None) -> OpenAIEmbedding:
    """An adapter for the model. Loads the failures' library and TLS certificates: not for the event loop."""
    return OpenAIEmbedding(provider, model, dimensions)


class _Item(msgspec.Struct):
    index: int
    embedding: Vector


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Item]
    usage: _Usage | None = None


_answers = msgspec.json.Decoder(_Answer)


class OpenAIEmbedding:
    """One model of a provider that speaks OpenAI's wire."""

    def __init__(self, provider: Provider, model: str, dimensions: int | None) -> None:
        self._asking = Asking(provider, f"{provider.name}:{model}", "embeddings")
        self._body: dict[str, Any] = {"model": model, "encoding_format": "float"}
        if dimensions is not None:
            self._body["dimensions"] = dimensions

    async def embed(self, texts: Sequence[str], *, query: bool) -> Reply:  # noqa: ARG002 - this wire knows no difference
        answer = await self._asking.ask({**self._body, "input": list(texts)}, _answers.decode)
        usage = answer.usage or _Usage()
        tokens = usage.prompt_tokens if usage.prompt_tokens is not None else usage.total_tokens
        return Reply([item.embedding for item in sorted(answer.data, key=lambda item: item.index)], tokens)

    async def aclose(self) -> None:
        await self._asking.aclose()
