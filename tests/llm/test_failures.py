"""A rude, broken or silent upstream gives the right problem, soon; a piece of an answer is never taken for the answer."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from tests.fakes.upstream import Upstream
from tests.llm.asking import KEYS, WIRES, ask, drain, said

from pointsman.llm.errors import ModelProblem
from pointsman.llm.models import Models
from pointsman.llm.port import StreamItem
from pointsman.settings import ProviderSettings, Settings

each_wire = pytest.mark.parametrize("model", WIRES)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
# A small `max_tokens` keeps Anthropic's SDK from streaming behind our back.
SMALL = {"max_tokens": 2000}


async def fail(models: Models, model: str, text: str, *, streamed: bool, items: list[StreamItem] | None = None) -> ModelProblem:
    call = ask(model, text, settings=SMALL)
    began = time.monotonic()
    with pytest.raises(ModelProblem) as failed:
        await (drain(models, call, items) if streamed else models.complete(call))
    assert time.monotonic() - began < 15
    shown = json.dumps([failed.value.detail, failed.value.hint, failed.value.fields])
    assert not any(key.get_secret_value() in shown for key in KEYS.values())
    return failed.value


@each_wire
@both_ways
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("400", "model-rejected"),
        ("401", "model-credentials"),
        ("403", "model-credentials"),
        ("404", "model-rejected"),
        ("429;retry_after=300", "model-rate-limited"),
        ("500;retry_after=300", "model-unavailable"),
        ("529;retry_after=300", "model-unavailable"),
        ("html", "model-answer-invalid"),
        ("invalid", "model-answer-invalid"),
        ("cut", "model-answer-invalid"),
    ],
)
async def test_an_upstream_that_fails_gives_its_problem(models: Models, model: str, streamed: bool, fault: str, code: str) -> None:
    problem = await fail(models, model, f"hi [[fault={fault}]]", streamed=streamed)
    assert problem.code == code
    assert model in problem.detail
    if fault[:3].isdecimal():
        assert f"answered {fault[:3]}: the fake upstream was told to fail" in problem.detail
    assert problem.retry_after == (300 if "retry_after" in fault else None)


@pytest.mark.parametrize(
    ("model", "fault", "streamed"),
    [(model, "reset", model != "vllm:some/model") for model in WIRES] + [("vllm:some/model", "close", True)],
)
async def test_a_rude_close_is_tried_again_and_then_told(
    models: Models, upstream: Upstream, model: str, fault: str, streamed: bool
) -> None:
    problem = await fail(models, model, f"hi [[fault={fault}]]", streamed=streamed)
    assert problem.code == "model-unavailable"
    assert len(upstream.ledger()) == 3
    assert problem.spent == ()


@each_wire
@both_ways
async def test_a_silent_upstream_is_cut_at_its_first_byte_limit(models: Models, upstream: Upstream, model: str, streamed: bool) -> None:
    await models.complete(ask(model, "hi"))
    upstream.reset()
    began = time.monotonic()
    problem = await fail(models, model, "hi [[fault=hang]]", streamed=streamed)
    assert 0.45 < time.monotonic() - began < 2.5
    assert problem.code == "model-timeout"
    assert problem.fields["limit"] == "first_byte"
    section = model.partition(":")[0].removesuffix("-responses").upper()
    assert f"POINTSMAN_PROVIDERS__{section}__FIRST_BYTE" in problem.hint
    assert len(upstream.ledger()) == 1


@each_wire
async def test_an_answer_that_stops_coming_is_cut_at_the_idle_limit(models: Models, upstream: Upstream, model: str) -> None:
    items: list[StreamItem] = []
    problem = await fail(models, model, "hi [[fault=hang;after=3 itl=1]]", streamed=True, items=items)
    assert (problem.code, problem.fields["limit"]) == ("model-timeout", "idle")
    assert said(items) == "tok0 tok1 tok2 "
    (spend,) = problem.spent
    assert spend.usage.is_estimated
    assert spend.usage.completion_tokens == 4  # 15 characters
    assert len(upstream.ledger()) == 1


async def test_an_answer_may_pause_for_longer_than_its_first_byte_may_take(upstream: Upstream) -> None:
    limits = {"first_byte": timedelta(seconds=0.3), "idle": timedelta(seconds=5), "base_url": upstream.openai_url}
    models = Models(Settings(providers={"slow": ProviderSettings.model_validate(limits)}))
    await models.warm(["slow"])
    items: list[StreamItem] = []
    await drain(models, ask("slow:m", "hi [[n=3 itl=600]]"), items)
    assert said(items) == "tok0 tok1 tok2 "
    await models.aclose()


@both_ways
async def test_bytes_without_an_end_are_cut_at_the_total_limit(models: Models, streamed: bool) -> None:
    problem = await fail(models, "openai:gpt-4o", "hi [[fault=drip]]", streamed=streamed)
    assert (problem.code, problem.fields["limit"]) == ("model-timeout", "total")
    assert "POINTSMAN_PROVIDERS__OPENAI__TOTAL" in problem.hint


@each_wire
@pytest.mark.parametrize("fault", ["cut", "truncate", "reset", "close", "invalid", "error"])
async def test_a_stream_cut_before_its_finish_reason_is_never_taken_for_an_answer(
    models: Models, upstream: Upstream, model: str, fault: str
) -> None:
    items: list[StreamItem] = []
    problem = await fail(models, model, f"hi [[n=9 itl=1 fault={fault};after=4]]", streamed=True, items=items)
    assert problem.code in {"model-answer-invalid", "model-unavailable"}
    assert said(items) == "tok0 tok1 tok2 tok3 "
    assert [spend.model for spend in problem.spent] == [model]
    assert problem.spent[0].usage.is_estimated
    assert problem.spent[0].usage.completion_tokens >= 5
    assert len(upstream.ledger()) == 1, "what was shown is not asked for again"


async def test_a_body_cut_in_the_middle_is_no_answer(models: Models) -> None:
    problems = await asyncio.gather(*(fail(models, model, "hi [[fault=truncate]]", streamed=False) for model in WIRES))
    assert {problem.code for problem in problems} == {"model-unavailable"}


@each_wire
@both_ways
async def test_a_withheld_answer_is_a_problem_with_its_usage(models: Models, upstream: Upstream, model: str, streamed: bool) -> None:
    problem = await fail(models, model, "hi [[n=0 finish=filter]]", streamed=streamed)
    assert problem.code == "model-content-filtered"
    assert [(spend.usage.prompt_tokens, spend.usage.is_estimated) for spend in problem.spent] == [
        (upstream.last()["usage"]["prompt_tokens"], False)
    ]


@each_wire
async def test_keys_in_the_providers_words_are_not_passed_on(models: Models, model: str) -> None:
    secret = "sk-proj-" + "a1B2" * 8
    problem = await fail(models, model, f"hi [[fault=401;message={secret}]]", streamed=False)
    assert secret not in problem.detail


@pytest.mark.parametrize("key", ["bad\nkey\x00-secret-value", "ключ-secret-value"])
async def test_a_key_that_no_header_may_carry_is_neither_shown_nor_billed(upstream: Upstream, key: str) -> None:
    models = Models(Settings(providers={"vllm": ProviderSettings.model_validate({"base_url": upstream.openai_url, "api_key": key})}))
    with pytest.raises(ModelProblem) as failed:
        await models.complete(ask("vllm:m", "hi"))
    assert failed.value.code == "model-credentials"
    assert "secret-value" not in failed.value.detail + failed.value.hint
    assert not failed.value.spent, "nothing was sent"
    await models.aclose()


@pytest.mark.parametrize("name", ["vllm", "openai_responses"])
async def test_a_user_and_a_password_in_the_base_url_are_what_is_sent(upstream: Upstream, name: str) -> None:
    url = upstream.openai_url.replace("http://", "http://user:pass%20word@")
    models = Models(Settings(providers={name: ProviderSettings.model_validate({"base_url": url, "api_key": "sk-1"})}))
    await models.complete(ask(f"{name.replace('_', '-')}:m", "hi"))
    assert upstream.last()["key"] == "Basic " + base64.b64encode(b"user:pass word").decode()
    await models.aclose()


@contextmanager
def black_hole() -> Generator[int]:
    """A loopback port whose queue of connections is full: SYNs are dropped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize(("where", "streamed"), [("refused", True), ("unresolvable", False), ("500", False), ("500", True)])
async def test_a_dead_provider_is_answered_within_fifteen_seconds_at_the_defaults(upstream: Upstream, where: str, streamed: bool) -> None:
    address = {"refused": "http://127.0.0.1:9/v1", "unresolvable": "http://no-such-host.invalid/v1"}.get(where, upstream.openai_url)
    marker = {"500": "[[fault=500]]"}.get(where, "")
    models = Models(Settings(providers={"gone": ProviderSettings(base_url=address)}))
    problem = await fail(models, "gone:m", f"hi {marker}", streamed=streamed)
    assert problem.code == "model-unavailable"
    if not marker:
        assert "POINTSMAN_PROVIDERS__GONE__BASE_URL" in problem.hint
    await models.aclose()


async def test_a_provider_black_holed_at_connect_is_answered_within_fifteen_seconds_at_the_defaults() -> None:
    with black_hole() as port:
        models = Models(Settings(providers={"gone": ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1")}))
        problem = await fail(models, "gone:m", "hi", streamed=True)
        assert problem.code == "model-timeout"
        assert problem.fields["limit"] == "connect"
        assert "POINTSMAN_PROVIDERS__GONE__CONNECT" in problem.hint
        await models.aclose()


async def test_the_connect_limit_of_every_sdk_is_ours() -> None:
    with black_hole() as port:
        limits = {"connect": timedelta(seconds=0.3), "retries": 0, "base_url": f"http://127.0.0.1:{port}", "api_key": "k"}
        settings = Settings(providers={name: ProviderSettings.model_validate(limits) for name in ("openai", "anthropic", "google")})
        models = Models(settings)
        for model in WIRES[1:]:
            await models.warm([model.partition(":")[0]])
            began = time.monotonic()
            problem = await fail(models, model, "hi", streamed=False)
            assert (problem.code, problem.fields["limit"]) == ("model-timeout", "connect")
            assert time.monotonic() - began < 2.5
        await models.aclose()
