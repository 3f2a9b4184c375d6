"""Headers name credentials and hold none; what was put in does not come back."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from tests.credentials.oauth_scene import service_of
from tests.credentials.token_scene import api_key, caller

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.service import TokenService
from pointsman.credentials.using import CredentialUse, RunUser
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.problems import InvalidRequest
from pointsman.tools.references import HeaderNotFilled, References

TOKEN = 'hush+"hush"/secret=='
ANN = RunUser("acme", "ann", "run_1")


@pytest.fixture
async def made(db: Database) -> AsyncGenerator[tuple[References, TokenService]]:
    ring, api, providers = KeyRing([Fernet.generate_key().decode()]), ProviderApi(), Providers({})
    use = CredentialUse(Refresher(db, ring, providers, api), ring, providers, None, lambda _use: None)
    secrets = {"crm": SecretStr("operators-secret"), "broken": SecretStr("two\nlines")}
    yield References(use, secrets), service_of(db, ring, api, providers)
    await api.aclose()


@pytest.fixture
def references(made: tuple[References, TokenService]) -> References:
    return made[0]


async def test_headers_are_filled_for_the_runs_own_user(made: tuple[References, TokenService]) -> None:
    references, tokens = made
    await tokens.put_token(caller("acme"), "ann", "crm", api_key(TOKEN))
    headers = {"Authorization": "Bearer ${token:crm}", "X-Both": "${secret:CRM}:${token:crm}", "X-Plain": "yes"}
    references.check_headers(headers, operator=True)
    filled = await references.fill(headers, ANN, "crm__find")
    assert filled == {"Authorization": f"Bearer {TOKEN}", "X-Both": f"operators-secret:{TOKEN}", "X-Plain": "yes"}
    assert TOKEN not in repr(filled)
    # What somebody stores is a value, never another reference.
    await tokens.put_token(caller("acme"), "ann", "odd", api_key("${secret:crm}"))
    assert await references.fill({"X-Odd": "${token:odd}"}, ANN, "t") == {"X-Odd": "${secret:crm}"}


async def test_what_was_filled_in_is_taken_out_of_what_comes_back_however_it_is_written(made: tuple[References, TokenService]) -> None:
    references, tokens = made
    await tokens.put_token(caller("acme"), "ann", "crm", api_key(TOKEN))
    filled = await references.fill({"Authorization": "Bearer ${token:crm}"}, ANN, "crm__find")
    echoes = [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        json.dumps({"headers": dict(filled)}),
        *(base64.b64encode(b"x" * shift + TOKEN.encode() + b"tail").decode() for shift in range(3)),
        base64.urlsafe_b64encode(f"Bearer {TOKEN}".encode()).decode(),
    ]
    for echo in echoes:
        left = filled.scrub(f"It said: {echo}.")
        assert "***" in left, echo
        assert "ush" not in left.replace("%22", "").replace("\\", ""), left
    assert filled.scrub("Nothing of it.") == "Nothing of it."


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("Authorization", "Bearer sk-0123456789abcdef", "named, not written"),
        ("X-Api-Key", "0123", "named, not written"),
        ("X-Trace", "Bearer ghp_0123456789abcdefghij0123", "named, not written"),
        ("X-Key", "${tokn:crm}", "no reference"),
        ("X-Key", "${token:crm", "no reference"),
        ("X-Key", "${secret:CMR}", "Did you mean crm?"),
        ("X-Key", "a\r\nX-Evil: 1", "one line"),
        ("X-Key", " padded", "without spaces"),
        ("X-Key", "ü", "ASCII"),
        ("X Key", "a", "no name"),
        ("Host", "internal", "sets this header itself"),
        ("transfer-encoding", "chunked", "sets this header itself"),
    ],
)
async def test_a_header_that_could_not_be_sent_or_would_store_a_secret_is_refused_at_its_place(
    references: References, name: str, value: str, word: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        references.check_headers({"X-Fine": "fine", name: value}, operator=True, pointer="/server/headers")
    assert [error.pointer for error in refused.value.errors] == [f"/server/headers/{name}"]
    assert word in refused.value.errors[0].message


async def test_the_operators_secrets_are_named_by_operators_alone(references: References) -> None:
    references.check_headers({"X-Key": "${token:crm}"}, operator=False)
    with pytest.raises(InvalidRequest):
        references.check_headers({"X-Key": "${secret:crm}"}, operator=False)


async def test_a_header_is_there_once_and_there_are_not_too_many(references: References) -> None:
    for headers in ({"X-A": "1", "x-a": "2"}, {f"X-{number}": "1" for number in range(33)}):
        with pytest.raises(InvalidRequest):
            references.check_headers(headers, operator=True)


async def test_a_secret_that_is_gone_or_has_two_lines_is_the_operators_affair(references: References) -> None:
    for name in ("gone", "broken"):
        with pytest.raises(HeaderNotFilled, match=name) as failed:
            await references.fill({"X-Key": f"${{secret:{name}}}"}, ANN, "t")
        assert f"POINTSMAN_SECRETS__{name.upper()}" in failed.value.hint
