"""What an attempt cost is known or estimated, once: of answers that broke off, of attempts repeated, of usage that is said twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes.upstream import Upstream
from tests.llm.asking import WIRES, ask, drain

from pointsman.llm.errors import ModelProblem
from pointsman.llm.models import Models
from pointsman.llm.port import ModelCall, Spend

each_wire = pytest.mark.parametrize("model", WIRES)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


async def bill(models: Models, model: str, text: str, *, streamed: bool = True) -> list[Spend]:
    """What a call cost, whether or not it came to an answer."""
    call: ModelCall = ask(model, text, settings={"max_tokens": 2000})
    try:
        made = await (drain(models, call) if streamed else models.complete(call))
    except ModelProblem as problem:
        return list(problem.spent)
    return list(made.spent)


def shown(spend: Spend) -> dict[str, Any]:
    return msgspec.to_builtins(spend.usage)


@pytest.mark.parametrize("model", [model for model in WIRES if "responses" not in model])
@pytest.mark.parametrize("how", ["twin", "cumulative"])
async def test_usage_that_is_said_more_than_once_counts_once(models: Models, upstream: Upstream, model: str, how: str) -> None:
    (spend,) = await bill(models, model, f"hi [[n=7 think=2 cached=8 fault={how}]]")
    assert len(upstream.last()["reports"]) > 1
    assert shown(spend) == {**upstream.last()["reports"][-1], "is_estimated": False}


@each_wire
@pytest.mark.parametrize("fault", ["close", "reset", "hang"])
async def test_usage_that_came_before_the_break_is_exact(models: Models, upstream: Upstream, model: str, fault: str) -> None:
    (spend,) = await bill(models, model, f"hi [[n=5 itl=1 fault={fault};late=1]]")
    assert upstream.settled()[-1]["is_final"]
    assert shown(spend) == {**upstream.last()["usage"], "is_estimated": False}


@each_wire
async def test_the_usage_so_far_is_no_bill(models: Models, upstream: Upstream, model: str) -> None:
    (spend,) = await bill(models, model, "hi [[n=9 itl=1 fault=close;after=4]]")
    assert not upstream.last()["is_final"]
    assert spend.usage.is_estimated
    assert spend.usage.completion_tokens >= 5


@each_wire
async def test_every_body_that_was_cut_is_counted_also_when_the_call_is_repeated(models: Models, upstream: Upstream, model: str) -> None:
    spent = await bill(models, model, "hi [[n=5 fault=truncate;fail_times=1]]", streamed=False)
    assert [spend.usage.is_estimated for spend in spent] == [True, False]
    assert spent[0].usage.prompt_tokens > 0
    assert shown(spent[1]) == {**upstream.last()["usage"], "is_estimated": False}


@each_wire
@both_ways
async def test_silence_may_have_cost_something(models: Models, model: str, streamed: bool) -> None:
    (spend,) = await bill(models, model, "hi [[fault=hang]]", streamed=streamed)
    assert spend.usage.is_estimated
    assert spend.usage.prompt_tokens > 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_call_cut_at_the_total_limit_is_counted(models: Models, streamed: bool) -> None:
    (spend,) = await bill(models, "vllm:m", "hi [[fault=drip]]", streamed=streamed)
    assert spend.usage.is_estimated


@each_wire
@both_ways
@pytest.mark.parametrize("fault", ["429;retry_after=99", "500;retry_after=99", "close", "400"])
async def test_what_was_refused_or_never_answered_cost_nothing(models: Models, model: str, streamed: bool, fault: str) -> None:
    assert await bill(models, model, f"hi [[fault={fault}]]", streamed=streamed) == []


async def test_what_could_not_be_sent_cost_nothing(models: Models) -> None:
    assert await bill(models, "dead:m", "hi") == []
