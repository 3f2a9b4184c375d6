"""Vectors of the fake upstream: some words mean the same to it, so that a search can find what a text does not say."""

from __future__ import annotations

import hashlib
import math
import re

from tests.fakes.upstream_plan import Asked, Json

_DIMENSIONS = 48
_MEANINGS = (
    {"vacation", "holiday", "holidays", "leave", "urlaub"},
    {"car", "vehicle", "automobile"},
    {"doctor", "physician"},
)


def body(asked: Asked, *, dimensions: int | None, reports: bool) -> Json:
    """The answer in the wire's spelling; the last vector first where the wire has an index, as some servers do."""
    vectors = [vector(text, dimensions or asked.dimensions or _DIMENSIONS) for text in asked.inputs]
    if asked.wire == "google":
        usage = {"usageMetadata": {"promptTokenCount": asked.prompt_tokens}} if reports else {}
        return {"embeddings": [{"values": each} for each in vectors], **usage}
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(vectors)]
    usage = {"usage": {"prompt_tokens": asked.prompt_tokens, "total_tokens": asked.prompt_tokens}} if reports else {}
    return {"object": "list", "model": asked.model, "data": data[::-1], **usage}


def vector(text: str, dimensions: int) -> list[float]:
    """Of length 1; words that mean the same have the same place."""
    numbers = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        meaning = next((min(words) for words in _MEANINGS if word in words), word)
        place = int.from_bytes(hashlib.sha256(meaning.encode()).digest()[:6])
        numbers[place % dimensions] += 1 if place & 1 << 40 else -1
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]
