"""The thin adapter for Chat Completions sends what the SDK-backed one sends and makes the same of what comes back."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from tests.llm.differing import Both, Outcome, Served, both_adapters
from tests.llm.generating import MODELS, make_answer, make_call

RECORDED = sorted(path for path in Path(__file__).parent.joinpath("exchanges").iterdir() if path.suffix in {".json", ".sse"})
ENDINGS = (b"\n", b"\r\n", b"\r")
SPLITS = 3
SEEDS = range(12)
EACH = 40


@pytest.fixture
async def both() -> AsyncGenerator[Both]:
    async with both_adapters() as made:
        yield made


def test_over_five_hundred_exchanges_are_compared() -> None:
    recorded = sum(SPLITS * (len(ENDINGS) if path.suffix == ".sse" else 1) for path in RECORDED)
    assert recorded + len(SEEDS) * EACH >= 500
    assert len(RECORDED) >= 50


@pytest.mark.parametrize("vendor", sorted({path.name.partition("-")[0] for path in RECORDED}))
async def test_answers_as_servers_send_them_are_read_alike(both: Both, vendor: str) -> None:
    rng = random.Random(vendor)
    provider = vendor if vendor not in {"unknown", "no"} else "vllm"
    for path in RECORDED:
        if path.name.partition("-")[0] == vendor:
            for ending in ENDINGS if path.suffix == ".sse" else ENDINGS[:1]:
                for _ in range(SPLITS):
                    body = path.read_bytes().replace(b"\n", ending) if path.suffix == ".sse" else path.read_bytes()
                    media_type = "text/event-stream" if path.suffix == ".sse" else "application/json"
                    served = Served.at_random(rng, body, media_type=media_type)
                    ours, theirs = await both.ask(provider, "m", make_call(rng), served, stream=path.suffix == ".sse")
                    assert alike(ours, theirs), path.name


@pytest.mark.parametrize("seed", SEEDS)
async def test_made_up_exchanges_are_read_alike(both: Both, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(EACH):
        provider, model = rng.choice(MODELS)
        stream, call = rng.random() < 0.6, make_call(rng)
        served = make_answer(rng, stream=stream)
        ours, theirs = await both.ask(provider, model, call, served, stream=stream)
        assert alike(ours, theirs), f"seed {seed}, exchange {number}: {provider}:{model} {served}"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_came_right_before_a_break_is_not_lost(both: Both, stream: bool) -> None:
    rng = random.Random(7)
    for _ in range(10):
        served = msgspec.structs.replace(make_answer(rng, stream=stream), status=200, breaks=True)
        ours, theirs = await both.ask("vllm", "m", make_call(rng), served, stream=stream)
        assert alike(ours, theirs), served


async def test_models_are_said_to_take_the_same(both: Both) -> None:
    for provider, model in MODELS:
        ours, theirs = await both.adapters(provider)
        assert ours.reasons(model) == theirs.reasons(model)
        for media_type in ("image/png", "image/webp", "application/pdf", "text/plain", "audio/wav"):
            assert ours.accepts(model, media_type) == theirs.accepts(model, media_type), (provider, model, media_type)
        for reasoning in (True, False):
            # What no setting of ours is called does not matter.
            names = {"temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "max_tokens", "stop_sequences"}
            assert ours.unsupported(model, reasoning=reasoning) & names == theirs.unsupported(model, reasoning=reasoning) & names


def alike(ours: Outcome, theirs: Outcome) -> bool:
    """Shows the first difference of the two."""
    assert ours.request == theirs.request
    assert ours.shown == theirs.shown
    assert ours.reply == theirs.reply
    # The characters of a broken answer are the ground of an estimate; the thin adapter counts a call's invisible ones too.
    assert (ours.produced is None) == (theirs.produced is None)
    assert 0 <= (ours.produced or 0) - (theirs.produced or 0) <= 5
    return msgspec.structs.replace(ours, produced=theirs.produced) == theirs
