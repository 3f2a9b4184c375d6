"""Where a provider's usage report has its counts, as genai-prices knows it of each provider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import UsageExtractor

from pointsman.llm.port import Usage

_FIELDS = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
}
_REQUIRED = ("prompt_tokens", "completion_tokens")
_CACHE_WRITES = ("prompt_tokens_details", "cache_write_tokens")  # some providers' descriptions omit it
_Path = tuple[str, ...]


class UsageReader:
    """Reads usage reports of one provider: found by its address, then by its name, else as OpenAI's."""

    def __init__(self, name: str, base_url: str) -> None:
        self._mappings = _mappings(_extractor(name, base_url))

    def read(self, reported: dict[str, Any] | None) -> Usage | None:
        """The counts, or None where they were not reported."""
        if not reported:
            return None
        counts: dict[str, int] = {}
        for path, field in self._mappings:
            count = _count(reported, path)
            if count is not None:
                counts[field] = counts.get(field, 0) + count
        if any(_count(reported, (field,)) is None for field in _REQUIRED):
            return None
        written = _count(reported, _CACHE_WRITES)
        if written is not None:
            counts["cache_write_tokens"] = written
        return msgspec.convert(counts, Usage) if counts["prompt_tokens"] or counts["completion_tokens"] else None


def _extractor(name: str, base_url: str) -> UsageExtractor:
    for provider_id, address in ((None, base_url), (name, None), ("openai", None)):
        try:
            provider = get_snapshot().find_provider(None, provider_id, address)
        except LookupError:
            continue
        for extractor in provider.extractors or ():
            if extractor.api_flavor == "chat" and extractor.root == "usage":
                return extractor
    raise AssertionError("OpenAI's own usage report is known")


def _mappings(extractor: UsageExtractor) -> tuple[tuple[_Path, str], ...]:
    found: list[tuple[_Path, str]] = []
    for mapping in extractor.mappings:
        path = (mapping.path,) if isinstance(mapping.path, str) else tuple(cast("Sequence[str]", mapping.path))
        if mapping.dest in _FIELDS:
            found.append((path, _FIELDS[mapping.dest]))
    return tuple(found)


def _count(reported: dict[str, Any], path: _Path) -> int | None:
    value: Any = reported
    for step in path:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, Any]", value).get(step)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return int(value) if whole else None
