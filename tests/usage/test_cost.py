from __future__ import annotations

from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.llm.port import Spend, Usage
from pointsman.usage import cost
from pointsman.usage.cost import cost_of
from pointsman.usage.ledger import UsageRow

PRICED = [
    ("openai:gpt-4o", "openai", "gpt-4o"),
    ("openai:gpt-4o-mini", "openai", "gpt-4o-mini"),
    ("openai-responses:gpt-4.1", "openai", "gpt-4.1"),
    ("anthropic:claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
    ("google:gemini-2.5-pro", "google", "gemini-2.5-pro"),
]
COUNTS = st.integers(0, 10_000_000)


@pytest.mark.parametrize(("model", "provider", "name"), PRICED)
def test_the_cost_is_that_of_the_public_price_list(model: str, provider: str, name: str) -> None:
    usage = Usage(prompt_tokens=123_457, completion_tokens=6_789, cached_tokens=20_000, reasoning_tokens=500)
    counted = genai_prices.Usage(input_tokens=123_457, output_tokens=6_789, cache_read_tokens=20_000, cache_write_tokens=0)
    price = genai_prices.calc_price(counted, name, provider_id=provider).total_price
    assert cost_of(model, usage) == price > 0


def test_cached_tokens_are_cheaper_and_written_ones_dearer() -> None:
    plain, cached, written = (
        cost_of("anthropic:claude-sonnet-4-5", usage)
        for usage in (Usage(10_000, 10), Usage(10_000, 10, cached_tokens=9_000), Usage(10_000, 10, cache_write_tokens=9_000))
    )
    assert plain is not None
    assert cached is not None
    assert written is not None
    assert cached < plain < written


@pytest.mark.parametrize(
    "model", ["openai:gpt-4o-of-my-own-making", "mine:gpt-4o", "ollama:llama3", "gpt-4o", "", ":", "openai:", "OPENAI:gpt-4o"]
)
def test_a_model_without_a_known_price_has_no_cost_rather_than_none_at_all(model: str) -> None:
    assert cost_of(model, Usage(1000, 1000)) is None


def test_scripted_models_are_free() -> None:
    assert cost_of("scripted:echo", Usage(10**6, 10**6)) == Decimal(0)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_counts_of_a_provider_break_the_price(prompt: int, completion: int, cached: int, written: int) -> None:
    price = cost_of("openai:gpt-4o", Usage(prompt, completion, cached, written))
    assert price is None or price >= 0


async def test_the_list_can_be_loaded_before_it_is_needed() -> None:
    await cost.warm_up()


def test_the_event_says_what_the_row_says() -> None:
    spend = Spend("openai:gpt-4o", Usage(100, 20, 30, 4, 5, is_estimated=True), 77)
    row = UsageRow("run", 0, "a", "s", None, None, "", spend, Decimal("0.00045"))
    tokens = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 30, "reasoning_tokens": 5}
    assert row.event() == tokens | {"model": "openai:gpt-4o", "is_estimated": True, "cost": 0.00045, "latency_ms": 77}
    assert row._replace(cost=None).event()["cost"] is None
