"""Providers behind a proxy and with certificates of a private authority, over both kinds of adapter."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError
from tests.fakes.upstream import Upstream
from tests.llm.asking import ask, drain
from tests.llm.private_network import WORD, PrivateNetwork, private_network

from pointsman.llm.errors import ModelProblem
from pointsman.llm.models import Models
from pointsman.llm.port import Text
from pointsman.settings import ProviderSettings, Settings

each_kind = pytest.mark.parametrize("model", ["private:m", "anthropic:claude-sonnet-4-6"])


@pytest.fixture
def network(upstream: Upstream, tmp_path: Path) -> Generator[PrivateNetwork]:
    with private_network(upstream.port, tmp_path) as made:
        yield made


def models(network: PrivateNetwork, upstream: Upstream, *, tls: bool = False, **settings: Any) -> Models:
    base = f"https://127.0.0.1:{network.tls}" if tls else upstream.url
    shared = {"api_key": "k", "retries": 0, **settings}
    private = ProviderSettings.model_validate({"base_url": f"{base}/v1", **shared})
    return Models(Settings(providers={"private": private, "anthropic": ProviderSettings.model_validate({"base_url": base, **shared})}))


def proxy(network: PrivateNetwork, word: str = WORD) -> str:
    return f"http://user:{quote(word)}@127.0.0.1:{network.proxy}"


@each_kind
async def test_a_private_authority_is_trusted_where_the_operator_says_so(network: PrivateNetwork, upstream: Upstream, model: str) -> None:
    made = models(network, upstream, tls=True, ca_file=network.ca_file)
    answer = await drain(made, ask(model, "hi [[n=2]]", settings={"max_tokens": 9}))
    assert answer.message.parts == (Text("tok0 tok1 "),)
    await made.aclose()


@each_kind
async def test_it_is_not_trusted_elsewhere(network: PrivateNetwork, upstream: Upstream, model: str) -> None:
    made = models(network, upstream, tls=True)
    with pytest.raises(ModelProblem) as failed:
        await made.complete(ask(model, "hi", settings={"max_tokens": 9}))
    assert failed.value.code == "model-unavailable"
    assert "certificate" in failed.value.detail.lower()
    await made.aclose()


@each_kind
@pytest.mark.parametrize("tls", [False, True])
async def test_calls_go_through_the_proxy(network: PrivateNetwork, upstream: Upstream, model: str, tls: bool) -> None:
    more = {"ca_file": network.ca_file} if tls else {}
    made = models(network, upstream, tls=tls, proxy=proxy(network), **more)
    answer = await made.complete(ask(model, "hi [[n=2]]", settings={"max_tokens": 9}))
    assert answer.message.parts == (Text("tok0 tok1 "),)
    (asked,) = network.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{network.tls}" if tls else f"POST {upstream.url}/v1")
    await made.aclose()


@each_kind
async def test_a_proxy_that_refuses_is_told_without_its_password(network: PrivateNetwork, upstream: Upstream, model: str) -> None:
    made = models(network, upstream, tls=True, ca_file=network.ca_file, proxy=proxy(network, "a-wrong-word"))
    with pytest.raises(ModelProblem) as failed:
        await made.complete(ask(model, "hi", settings={"max_tokens": 9}))
    assert failed.value.code == "model-unavailable"
    assert "407" in failed.value.detail
    assert "a-wrong-word" not in failed.value.detail + failed.value.hint
    await made.aclose()


@pytest.mark.parametrize(
    "settings",
    [{"proxy": "127.0.0.1:3128"}, {"proxy": "https://proxy"}, {"proxy": "http://"}, {"proxy": "http://h:x"}, {"ca_file": "/nowhere.pem"}],
)
def test_what_is_no_proxy_or_no_certificate_is_refused_at_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ProviderSettings.model_validate(settings)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(ValidationError, match="no certificates in PEM"):
        ProviderSettings(ca_file=empty)
