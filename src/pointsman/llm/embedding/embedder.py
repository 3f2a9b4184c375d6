"""Asks the embedding model that the settings name: batches, retries, limits and a bulkhead, as model calls have them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, cast

from pointsman.kit.lasting import keep_what_is_there
from pointsman.llm.adapters import IMPORTING
from pointsman.llm.bulkhead import Bulkhead
from pointsman.llm.embedding.naming import EmbedderName, read_name
from pointsman.llm.embedding.port import Embedding, EmbeddingAdapter, Vector
from pointsman.llm.embedding.scripted import ScriptedEmbedding
from pointsman.llm.errors import ModelAnswerInvalid, ModelProblem, ModelUnavailable
from pointsman.llm.port import Spend, Usage
from pointsman.llm.providers.problems import timed_out
from pointsman.llm.retries import Patience
from pointsman.settings import Settings, SettingsInvalid

MOST_DIMENSIONS = 16_000  # of a halfvec
_MOST_LETTERS = 200_000  # of a batch: below what providers take of tokens in one request, whatever the script
_LETTERS_PER_TOKEN = 4
_LARGEST = 1e30  # of a vector's numbers, whose squares are added up


class Embedder:
    """The one embedding model of a gateway."""

    def __init__(self, name: EmbedderName, *, dimensions: int | None, batch: int) -> None:
        """At most `batch` texts go into one request."""
        self._name = name
        self._dimensions = dimensions
        self._batch = batch
        # One of its own: however much is indexed, it takes no place of a chat's.
        self._bulkhead = Bulkhead(name.provider)
        self._adapter: EmbeddingAdapter | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Embedder | None:
        """What the settings name; None where they name none. Raises SettingsInvalid."""
        name = read_name(settings)
        knowledge = settings.knowledge
        return None if name is None else cls(name, dimensions=knowledge.embedder_dimensions, batch=knowledge.embedder_batch)

    @property
    def identity(self) -> str:
        """What its vectors are marked with."""
        return self._name.identity

    @property
    def model(self) -> str:
        """Its name in usage, `provider:model`."""
        return self._name.model

    async def aclose(self) -> None:
        """Close its connections."""
        if self._adapter is not None:
            await self._adapter.aclose()

    def batches(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The texts in the parts that `embed` takes."""
        start = letters = 0
        for place, text in enumerate(texts):
            if place > start and (place - start == self._batch or letters + len(text) > _MOST_LETTERS):
                yield texts[start:place]
                start, letters = place, 0
            letters += len(text)
        if start < len(texts):
            yield texts[start:]

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedding:
        """Vectors of one batch; `query` says that they are looked for. Raises a `ModelProblem` with what it cost."""
        adapter = await self._opened()
        limits = self._name.provider.limits
        started = time.monotonic()
        patience = Patience(limits, began=started, now=started, models_left=1)
        spent: tuple[Spend, ...] = ()
        # No provider takes an empty text.
        given = [text if text.strip() else "-" for text in texts]
        with self._bulkhead.place():
            while True:
                attempt, tokens = time.monotonic(), None
                try:
                    async with asyncio.timeout(limits.total.total_seconds() - (attempt - started)):
                        reply = await adapter.embed(given, query=query)
                    tokens = reply.tokens
                    self._require_usable(reply.vectors, len(given))
                    return Embedding(reply.vectors, (*spent, self._spend(given, tokens, attempt)))
                except TimeoutError:
                    problem: ModelProblem = timed_out(self._name.provider, self.model, "total", may_pass=False)
                    problem.reached = True
                except ModelProblem as failed:
                    problem = failed
                if problem.reached:
                    spent = (*spent, self._spend(given, tokens, attempt))
                delay = patience.next_delay(problem, attempt_began=attempt, now=time.monotonic())
                if delay is None:
                    problem.spent = spent
                    raise problem
                await asyncio.sleep(delay)

    async def open(self) -> EmbeddingAdapter:
        """Load what it needs, which may take seconds, in a thread. Raises SettingsInvalid for a folder without a usable model."""
        async with self._opening:
            if self._adapter is None:
                self._adapter = await asyncio.to_thread(_opened, self._name, self._dimensions)
                keep_what_is_there()
        return self._adapter

    async def _opened(self) -> EmbeddingAdapter:
        try:
            return self._adapter or await self.open()
        except SettingsInvalid as problem:
            raise ModelUnavailable(f"{self.model}: {problem.detail}", hint=problem.hint, transient=False, model=self.model) from None

    def _require_usable(self, vectors: list[Vector], wanted: int) -> None:
        """Raises ModelAnswerInvalid for what nobody can search by."""
        length = self._dimensions or (len(vectors[0]) if vectors else 0)
        if len(vectors) != wanted or not 0 < length <= MOST_DIMENSIONS or any(len(vector) != length for vector in vectors):
            lengths = sorted({len(vector) for vector in vectors})
            wrong = f"{len(vectors)} vectors of {lengths} dimensions for {wanted} texts"
        elif not all(math.isfinite(sum(vector)) and max(map(abs, vector)) < _LARGEST for vector in vectors):
            wrong = "a vector with a number that is none, or far too large"
        else:
            return
        hint = f"It was asked for {length} dimensions." if self._dimensions else "Is it a model that makes embeddings?"
        problem = ModelAnswerInvalid(f"{self.model}: the answer has {wrong}.", hint=hint, model=self.model)
        problem.reached = True
        raise problem

    def _spend(self, texts: Sequence[str], tokens: int | None, attempt: float) -> Spend:
        """As it was reported, else by estimate."""
        estimated = -(-sum(map(len, texts)) // _LETTERS_PER_TOKEN)
        usage = Usage(prompt_tokens=estimated if tokens is None else tokens, is_estimated=tokens is None)
        return Spend(self.model, usage, int((time.monotonic() - attempt) * 1000))


def _opened(name: EmbedderName, dimensions: int | None) -> EmbeddingAdapter:
    if name.folder is None and name.provider.wire == "scripted":
        return ScriptedEmbedding(dimensions)
    # Imported by name, here and only here: what they need takes a second to load, and most processes need none of them.
    with IMPORTING:
        module: Any = import_module(f"pointsman.llm.embedding.{'local' if name.folder else name.provider.wire}")
    made = module.open_adapter(name.folder) if name.folder else module.open_adapter(name.provider, name.own, dimensions)
    return cast("EmbeddingAdapter", made)
