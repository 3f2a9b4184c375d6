"""Failures that may pass are tried again, others go to the next model, and a full provider harms only itself."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from itertools import groupby

import pytest
from tests.fakes.upstream import Upstream
from tests.llm.asking import ask, drain, said

from pointsman.llm.errors import ModelBusy, ModelNotConfigured, ModelProblem, ModelRejected, ModelUnknown
from pointsman.llm.models import Models
from pointsman.llm.port import Restarted, StreamItem, Text, TextDelta
from pointsman.llm.retries import Patience
from pointsman.settings import ProviderSettings, Settings

both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.mark.parametrize(("fault", "streamed"), [("500", False), ("429", True), ("408", False), ("reset", True)])
async def test_a_failure_that_passes_is_not_noticed(models: Models, upstream: Upstream, fault: str, streamed: bool) -> None:
    call = ask("vllm:m", f"hi [[n=2 fault={fault};fail_times=2]]")
    made = await (drain(models, call) if streamed else models.complete(call))
    assert made.message.parts == (Text("tok0 tok1 "),)
    assert len(made.spent) == 1
    assert len(upstream.ledger()) == 3


async def test_retry_after_is_respected(models: Models, upstream: Upstream) -> None:
    began = time.monotonic()
    await models.complete(ask("vllm:m", "hi [[fault=429;retry_after=1;fail_times=1]]"))
    first, second = upstream.ledger()
    assert second["at"] - first["at"] >= 1
    assert time.monotonic() - began < 10


async def test_a_retry_after_beyond_patience_is_told_at_once(models: Models, upstream: Upstream) -> None:
    await models.warm(["vllm"])
    began = time.monotonic()
    with pytest.raises(ModelProblem) as limited:
        await models.complete(ask("vllm:m", "hi [[fault=429;retry_after=120]]"))
    assert limited.value.retry_after == 120
    assert len(upstream.ledger()) == 1
    assert time.monotonic() - began < 5


def test_slow_failures_are_given_up_before_fifteen_seconds() -> None:
    limits = ProviderSettings()
    problem = ModelProblem("slow", transient=True)
    now = 0.0
    patience = Patience(limits, began=0, now=0, models_left=1)
    while True:
        began, now = now, now + 6  # each attempt takes six seconds to fail
        delay = patience.next_delay(problem, attempt_began=began, now=now)
        if delay is None:
            break
        now += delay
    assert now < 15


@both_ways
async def test_a_fallback_answers_before_any_output_and_nobody_notices(models: Models, upstream: Upstream, streamed: bool) -> None:
    items: list[StreamItem] = []
    call = ask(("dead:m", "tiny:m", "anthropic:claude-sonnet-4-6"), "hi [[n=2]]")
    made = await (drain(models, call, items) if streamed else models.complete(call))
    assert made.message.model == "tiny:m"
    assert [spend.model for spend in made.spent] == ["tiny:m"]
    assert not any(isinstance(item, Restarted) for item in items)
    assert len(upstream.ledger()) == 1


async def test_a_fallback_after_partial_output_voids_it_and_both_are_counted(models: Models, upstream: Upstream) -> None:
    items: list[StreamItem] = []
    made = await drain(models, ask(("vllm:m", "google:gemini-3.8-flash"), "hi [[n=6 itl=1 fault=reset;after=3;fail_times=1]]"), items)
    kinds = [kind for kind, _ in groupby(type(item).__name__ for item in items)]  # what came together is one delta
    assert kinds == ["TextDelta", "Restarted", "TextDelta"]
    assert said(items) == "tok0 tok1 tok2 tok3 tok4 tok5 "
    assert made.message.model == "google:gemini-3.8-flash"
    assert [(spend.model, spend.usage.is_estimated) for spend in made.spent] == [("vllm:m", True), ("google:gemini-3.8-flash", False)]
    assert made.spent[1].usage.completion_tokens == upstream.last()["usage"]["completion_tokens"]


async def test_when_all_fail_the_last_problem_tells_and_all_is_counted(models: Models) -> None:
    items: list[StreamItem] = []
    with pytest.raises(ModelProblem) as failed:
        await drain(models, ask(("vllm:m", "tiny:m"), "hi [[itl=1 fault=reset;after=3]]"), items)
    assert [spend.model for spend in failed.value.spent] == ["vllm:m", "tiny:m"]
    assert "tiny:m" in failed.value.detail


async def test_a_rejected_call_goes_to_the_next_model(models: Models) -> None:
    made = await models.complete(ask(("vllm:m", "tiny:m"), "hi [[n=1 fault=400;fail_times=1]]"))
    assert made.message.model == "tiny:m"
    with pytest.raises(ModelRejected):
        await models.complete(ask("vllm:m", "hi [[fault=400]]"))


async def test_a_call_that_is_wrong_in_itself_goes_to_no_fallback(models: Models, upstream: Upstream) -> None:
    with pytest.raises(ModelUnknown):
        await models.complete(ask(("nobody:m", "tiny:m"), "hi"))
    assert upstream.ledger() == []


async def test_a_fallback_that_is_not_configured_is_passed_over(upstream: Upstream) -> None:
    models = Models(Settings(providers={"tiny": ProviderSettings(base_url=upstream.openai_url)}))
    made = await models.complete(ask(("tiny:m", "anthropic:claude-sonnet-4-6", "tiny:other"), "hi [[fault=400;fail_times=1]]"))
    assert made.message.model == "tiny:other"
    with pytest.raises(ModelNotConfigured):
        await models.complete(ask("anthropic:claude-sonnet-4-6", "hi"))
    await models.aclose()


async def test_a_hung_provider_is_full_at_once_and_harms_no_other(models: Models) -> None:
    await models.complete(ask("tiny:m", "hi"))
    hung = [asyncio.create_task(models.complete(ask("tiny:m", "hi [[fault=hang]]"))) for _ in range(2)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(ModelBusy) as busy:
        await models.complete(ask("tiny:m", "hi"))
    assert time.monotonic() - began < 0.1
    assert busy.value.retry_after
    assert "POINTSMAN_PROVIDERS__TINY__CONCURRENCY" in busy.value.hint
    assert (await models.complete(ask("vllm:m", "hi"))).finish_reason == "stop"
    await asyncio.gather(*hung, return_exceptions=True)
    assert (await models.complete(ask("tiny:m", "hi"))).finish_reason == "stop"


async def test_a_reader_who_leaves_ends_the_upstream_call_and_frees_its_place(models: Models, upstream: Upstream) -> None:
    for _ in range(4):  # two places
        async with aclosing(models.stream(ask("tiny:m", "hi [[n=500 itl=10]]"))) as items:
            async for item in items:
                assert isinstance(item, TextDelta)
                break
    assert all(entry["aborted"] for entry in upstream.settled())


async def test_a_cancelled_call_ends_the_upstream_call(models: Models, upstream: Upstream) -> None:
    await models.complete(ask("tiny:m", "hi"))
    for streamed in (True, False):
        upstream.reset()
        call = ask("tiny:m", "hi [[n=500 itl=10 ttft=10]]")
        task = asyncio.create_task(drain(models, call) if streamed else models.complete(call))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [entry["aborted"] for entry in upstream.settled()] == [True]


async def test_two_hundred_streams_at_once_all_end_whole(models: Models, upstream: Upstream) -> None:
    await models.warm(["vllm"])
    answers = await asyncio.gather(*(drain(models, ask("vllm:m", f"stream {i} [[n=3]]")) for i in range(200)))
    assert all(answer.message.parts == (Text("tok0 tok1 tok2 "),) for answer in answers)
    assert len(upstream.ledger()) == 200
