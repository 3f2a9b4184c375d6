"""What embedding asks of an adapter, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from pointsman.llm.port import Spend

Vector = list[float]


class Reply(msgspec.Struct, frozen=True):
    """A vector for each text, in their order; `tokens` is None where the provider did not report them."""

    vectors: list[Vector]
    tokens: int | None


class Embedding(msgspec.Struct, frozen=True):
    """A vector for each text, all of one length and finite; `spent` has one entry per call that reached the provider."""

    vectors: list[Vector]
    spent: tuple[Spend, ...]


class EmbeddingAdapter(Protocol):
    """One attempt at one embedding model: no retries."""

    async def embed(self, texts: Sequence[str], *, query: bool) -> Reply:
        """Vectors of texts that are looked for (`query`) or looked through. Raises a `ModelProblem`."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...
