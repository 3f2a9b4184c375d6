"""Google's batchEmbedContents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.llm.embedding.asking import Asking
from pointsman.llm.embedding.port import Reply, Vector
from pointsman.llm.names import Provider

# What a text is for is a field of the request, but to this model a beginning of the text.
_PREFIXED = "gemini-embedding-2"


def open_adapter(provider: Provider, model: str, dimensions: int | None) -> GoogleEmbedding:
    """An adapter for the model. Loads the failures' library and TLS certificates: not for the event loop."""
    return GoogleEmbedding(provider, model, dimensions)


class _Values(msgspec.Struct):
    values: Vector


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Values]
    usage_metadata: _Usage | None = None


_answers = msgspec.json.Decoder(_Answer)


class GoogleEmbedding:
    """One model of Google's."""

    def __init__(self, provider: Provider, model: str, dimensions: int | None) -> None:
        path = f"v1beta/models/{model}:batchEmbedContents"
        self._asking = Asking(provider, f"{provider.name}:{model}", path, key_header="x-goog-api-key")
        self._prefixed = model.startswith(_PREFIXED)
        self._each: dict[str, Any] = {"model": f"models/{model}"}
        if dimensions is not None:
            self._each["outputDimensionality"] = dimensions

    async def embed(self, texts: Sequence[str], *, query: bool) -> Reply:
        answer = await self._asking.ask({"requests": [self._request(text, query=query) for text in texts]}, _answers.decode)
        tokens = answer.usage_metadata.prompt_token_count if answer.usage_metadata else None
        return Reply([made.values for made in answer.embeddings], tokens)

    async def aclose(self) -> None:
        await self._asking.aclose()

    def _request(self, text: str, *, query: bool) -> dict[str, Any]:
        if self._prefixed:
            text = f"task: search result | query: {text}" if query else f"title: none | text: {text}"
            return {**self._each, "content": {"parts": [{"text": text}]}}
        purpose = "RETRIEVAL_QUERY" if query else "RETRIEVAL_DOCUMENT"
        return {**self._each, "content": {"parts": [{"text": text}]}, "taskType": purpose}
