"""What tokens cost in US dollars, by the public price list that ships with genai-prices."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import cache
from types import ModuleType

from pointsman.llm.embedding.naming import LOCAL
from pointsman.llm.port import Usage

_PROVIDERS = {"openai": "openai", "openai-responses": "openai", "anthropic": "anthropic", "google": "google"}


def cost_of(model: str, usage: Usage) -> Decimal | None:
    """The cost of one call to `provider:model`; None where no price is known, 0 for scripted models and those of this host."""
    provider, _, name = model.partition(":")
    if provider == "scripted" or model.startswith(LOCAL):
        return Decimal(0)
    if provider not in _PROVIDERS:
        return None
    prices = _price_list()
    counted = prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return prices.calc_price(counted, name, provider_id=_PROVIDERS[provider]).total_price
    except (LookupError, ValueError):
        # No price for the model, or counts its price list cannot make sense of: the tokens stand, the cost is unknown.
        return None


async def warm_up() -> None:
    """Load the price list off the event loop: it takes half a second."""
    await asyncio.to_thread(cost_of, "openai:gpt-4o", Usage(prompt_tokens=1, completion_tokens=1))


@cache
def _price_list() -> ModuleType:
    import genai_prices  # noqa: PLC0415 - half a second that the start need not wait for

    return genai_prices
