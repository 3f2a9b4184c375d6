"""Embedders over their wires: what is sent, what is counted, and how each failure ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes.upstream import Upstream
from tests.fakes.upstream_vectors import vector
from tests.llm.asking import KEYS

from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.errors import (
    ModelAnswerInvalid,
    ModelBusy,
    ModelCredentials,
    ModelProblem,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from pointsman.settings import KnowledgeSettings, ProviderSettings, Settings, SettingsInvalid

OPENAI = "openai:text-embedding-3-small"
GOOGLE = "google:gemini-embedding-001"
TEXTS = ["Tea at four.", "", "Vacation is thirty days."]
Make = Callable[..., Embedder]


@pytest.fixture
async def make(upstream: Upstream) -> AsyncGenerator[Make]:
    """Makes the embedder that settings name, at the fake upstream."""
    made: list[Embedder] = []
    limits: dict[str, Any] = {
        "first_byte": timedelta(seconds=0.3),
        "idle": timedelta(seconds=0.3),
        "total": timedelta(seconds=2),
        "retries": 1,
    }
    providers = {
        "openai": ProviderSettings(base_url=upstream.openai_url, **limits),
        "google": ProviderSettings(base_url=upstream.google_url, **limits),
        "vllm": ProviderSettings(base_url=upstream.openai_url, concurrency=1),
        "dead": ProviderSettings(base_url="http://127.0.0.1:9/v1", retries=0),
    }

    def of(named: str, **more: Any) -> Embedder:
        knowledge = KnowledgeSettings(embedder=named, **{f"embedder_{name}": value for name, value in more.items()})
        embedder = Embedder.of(
            Settings(openai_api_key=KEYS["openai"], google_api_key=KEYS["google"], providers=providers, knowledge=knowledge)
        )
        assert embedder is not None
        made.append(embedder)
        return embedder

    yield of
    for embedder in made:
        await embedder.aclose()


@pytest.mark.parametrize("named", [OPENAI, GOOGLE, "vllm:BAAI/bge-m3"])
async def test_vectors_come_in_the_order_of_their_texts_and_are_counted_to_the_token(make: Make, upstream: Upstream, named: str) -> None:
    made = await make(named).embed(TEXTS)
    assert [[round(number, 6) for number in each] for each in made.vectors] == [
        [round(number, 6) for number in vector(text or "-", 48)] for text in TEXTS
    ]
    [spend] = made.spent
    assert (spend.model, spend.usage.prompt_tokens, spend.usage.completion_tokens) == (named, upstream.last()["usage"]["prompt_tokens"], 0)
    assert not spend.usage.is_estimated


async def test_openais_wire_carries_the_key_the_model_and_the_dimensions(make: Make, upstream: Upstream) -> None:
    embedder = make(OPENAI, dimensions=16)
    assert embedder.identity == f"{OPENAI}/16"
    assert [len(each) for each in (await embedder.embed(["a"])).vectors] == [16]
    entry = upstream.last()
    assert entry["key"] == f"Bearer {KEYS['openai'].get_secret_value()}"
    assert entry["body"] == {"model": "text-embedding-3-small", "encoding_format": "float", "dimensions": 16, "input": ["a"]}


async def test_googles_wire_says_what_a_text_is_for_in_a_field_or_before_the_text(make: Make, upstream: Upstream) -> None:
    for query, purpose in ((True, "RETRIEVAL_QUERY"), (False, "RETRIEVAL_DOCUMENT")):
        await make(GOOGLE, dimensions=16).embed(["a"], query=query)
        [request] = upstream.last()["body"]["requests"]
        assert request == {
            "model": "models/gemini-embedding-001", "outputDimensionality": 16, "content": {"parts": [{"text": "a"}]}, "taskType": purpose
        }  # fmt: skip
    assert "x-goog-api-key" in upstream.last()["headers"]
    assert upstream.last()["key"] == KEYS["google"].get_secret_value()
    await make("google:gemini-embedding-2").embed(["a"], query=True)
    [request] = upstream.last()["body"]["requests"]
    assert request == {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "task: search result | query: a"}]}}


async def test_what_no_provider_reports_is_estimated_and_says_so(make: Make) -> None:
    [spend] = (await make(OPENAI).embed(["[[fault=nousage]] " + "x" * 38])).spent
    assert (spend.usage.prompt_tokens, spend.usage.is_estimated) == (14, True)


async def test_a_failure_that_may_pass_is_tried_again_after_what_the_provider_asks_for(make: Make, upstream: Upstream) -> None:
    made = await make(OPENAI).embed(["[[fault=503;fail_times=1]] a"])
    assert len(made.vectors) == 1
    assert len(made.spent) == 1
    await make(OPENAI).embed(["[[fault=429;fail_times=1;retry_after=1]] b"])
    first, second = upstream.ledger()[-2:]
    assert second["at"] - first["at"] >= 1
    with pytest.raises(ModelRateLimited) as refused:
        await make(OPENAI).embed(["[[fault=429;retry_after=900]] c"])
    assert refused.value.retry_after == 900


@pytest.mark.parametrize(
    ("named", "text", "problem"),
    [
        (OPENAI, "[[fault=401]]", ModelCredentials),
        (OPENAI, "[[fault=400]]", ModelRejected),
        (GOOGLE, "[[fault=403]]", ModelCredentials),
        (OPENAI, "[[fault=500]]", ModelUnavailable),
        (OPENAI, "[[fault=close]]", ModelUnavailable),
        (OPENAI, "[[fault=reset]]", ModelUnavailable),
        (OPENAI, "[[fault=hang]]", ModelTimeout),
        (OPENAI, "[[fault=drip]]", ModelTimeout),
        (OPENAI, "[[fault=html]]", ModelAnswerInvalid),
        (GOOGLE, "[[fault=invalid]]", ModelAnswerInvalid),
        (OPENAI, "[[fault=truncate]]", ModelUnavailable),
        ("dead:model", "a", ModelUnavailable),
    ],
)
async def test_each_failure_is_its_problem_and_names_the_model(make: Make, named: str, text: str, problem: type[ModelProblem]) -> None:
    with pytest.raises(problem) as failed:
        await make(named).embed([text])
    assert named in failed.value.detail
    assert KEYS["openai"].get_secret_value() not in str(failed.value.describe())


async def test_what_a_provider_took_and_did_not_answer_is_counted_by_estimate(make: Make) -> None:
    with pytest.raises(ModelTimeout) as failed:
        await make(OPENAI).embed(["[[fault=hang]]"])
    [spend] = failed.value.spent
    assert spend.usage.is_estimated
    with pytest.raises(ModelUnavailable) as failed:
        await make("dead:model").embed(["a"])
    assert failed.value.spent == ()


async def test_vectors_of_other_dimensions_than_were_asked_for_are_not_taken(make: Make) -> None:
    with pytest.raises(ModelAnswerInvalid, match=r"of \[7\] dimensions") as failed:
        await make("vllm:bge-m3", dimensions=16).embed(["[[dimensions=7]] a"])
    assert [spend.usage.is_estimated for spend in failed.value.spent] == [False]


async def test_a_provider_takes_no_more_calls_at_once_than_the_operator_allows(make: Make) -> None:
    embedder = make("vllm:bge-m3")
    await embedder.open()
    slow = asyncio.create_task(embedder.embed(["[[ttft=300]] a"]))
    await asyncio.sleep(0.05)
    with pytest.raises(ModelBusy):
        await embedder.embed(["b"])
    await slow


async def test_batches_are_bounded_in_texts_and_in_letters(make: Make) -> None:
    embedder = make("scripted:words", batch=3)
    assert [len(batch) for batch in embedder.batches(["a"] * 7)] == [3, 3, 1]
    assert [len(batch) for batch in embedder.batches(["a" * 150_000, "b" * 100_000, "c", "d"])] == [1, 3]
    assert list(embedder.batches([])) == []


async def test_the_scripted_embedder_is_the_same_everywhere_and_near_where_words_are_shared(make: Make) -> None:
    embedder = make("scripted:words", dimensions=8)
    made = await embedder.embed(["Tea at four.", "four TEA at", ""])
    assert made.vectors[:2] == [[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0]] * 2
    assert made.spent[0].usage.prompt_tokens == 6
    assert len((await make("scripted:words").embed(["a"])).vectors[0]) == 256


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("opnai:text", "Did you mean openai:text?"),
        ("text-embedding-3-small", "provider:model"),
        ("anthropic:claude", "makes no vectors"),
        ("openai-responses:gpt", "makes no vectors"),
        ("scripted:echo", "scripted:words"),
    ],
)
def test_a_name_that_makes_no_vectors_keeps_the_gateway_from_starting(named: str, says: str) -> None:
    settings = Settings(openai_api_key=KEYS["openai"], anthropic_api_key=KEYS["anthropic"], knowledge=KnowledgeSettings(embedder=named))
    with pytest.raises(SettingsInvalid) as refused:
        Embedder.of(settings)
    assert says in f"{refused.value.detail} {refused.value.hint}"
    assert "POINTSMAN_KNOWLEDGE__EMBEDDER" in refused.value.detail


def test_a_provider_without_a_key_is_told_with_the_variable_to_set() -> None:
    with pytest.raises(SettingsInvalid, match="No key") as refused:
        Embedder.of(Settings(knowledge=KnowledgeSettings(embedder=OPENAI)))
    assert "OPENAI_API_KEY" in refused.value.hint
