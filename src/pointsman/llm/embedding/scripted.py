"""The `scripted:words` embedder: hashed words, deterministic, offline and free. Texts are near that share words, whatever they mean."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from pointsman.llm.embedding.port import Reply, Vector

DIMENSIONS = 256
_WORD = re.compile(r"\w+")


class ScriptedEmbedding:
    """Counts words into as many places as there are dimensions."""

    def __init__(self, dimensions: int | None) -> None:
        self._dimensions = dimensions or DIMENSIONS

    async def embed(self, texts: Sequence[str], *, query: bool) -> Reply:  # noqa: ARG002 - both sides of a search are words
        found = [_WORD.findall(text.lower()) for text in texts]
        return Reply([self._vector(words) for words in found], sum(map(len, found)))

    async def aclose(self) -> None:
        return

    def _vector(self, words: list[str]) -> Vector:
        vector = [0.0] * self._dimensions
        for word in words:
            place = _place(word)
            vector[place % self._dimensions] += 1.0 if place & 1 << 60 else -1.0
        return vector


@lru_cache(maxsize=50_000)
def _place(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
