from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from pointsman.kit.scrubbing import is_secret_name, register_secret, scrub, scrub_text

FERNET = "gAAAAAB" + "rA8JBcQ2h6VYp-jZosyPPe_" * 4 + "=="  # constant: both workers must collect the same tests
KEY = "pm_" + "Ab3" * 16 + "z"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"refused {KEY}", KEY),
        (f"https://x/?key={KEY}&a=b", KEY),
        ("Authorization: Bearer abc.def-ghi_jkl", "abc.def"),
        ("authorization: bearer abcdefghij", "abcdefghij"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("{'authorization': 'hunter2hunter2'}", "hunter2"),
        ('{"Authorization": "hunter2hunter2"}', "hunter2"),
        ("(b'x-api-key', b'hunter2hunter2')", "hunter2"),
        ("X-API-Key: hunter2hunter2", "hunter2"),
        ("x-goog-api-key: hunter2hunter2", "hunter2"),
        ("Cookie: session=hunter2; other=hunter3", "hunter"),
        ("Set-Cookie: session=hunter2", "hunter2"),
        ("got Bearer abcdefghijk from client", "abcdefghijk"),
        ("key sk-proj-abcdefghijklmnop1234 is wrong", "abcdefghijklmnop"),
        ("key sk-ant-api03-abcdefghijklmnop", "abcdefghijklmnop"),
        ("key AIzaSyA1234567890abcdefghijklmnopqrstuvw", "SyA1234567890"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijkl"),
        ("postgresql://owner:hunter2@db:5432/pm", "hunter2"),
        ("postgresql+asyncpg://owner:hun%40ter2@/pm?host=/tmp", "hun%40ter2"),
        ("redis://:hunter2@cache", "hunter2"),
        pytest.param(f"row holds {FERNET}", FERNET[:30], id="a Fernet token"),
        (f"token is {JWT}.", "eyJzdWIiOiIxIn0"),
        ("https://x/cb?access_token=hunter2&state=1", "hunter2"),
        ('{"client_secret": "hunter2", "a": 1}', "hunter2"),
        ('{\\"password\\": \\"hunter2\\"}', "hunter2"),
        ("host=db password=hunter2 user=x", "hunter2"),
        ("api_key='hunter2'", "hunter2"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----", "MHcCAQEEI"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_texts(text: str, secret: str) -> None:
    assert secret not in scrub_text(text)
    assert secret not in json.dumps(scrub({"a": [{"b": (text,)}], "error": ValueError(text), "raw": text.encode()}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The key ring of this database was not found.",
        "token usage: 5 calls",
        "GET /v2/users/ann/tokens/github 200",
        "https://example.com:8080/a?b=c@d",
        "run_01H8XGJWBWBAQ4 finished",
        "run skills pm_ sk- gAAAA eyJ",
        "2026-01-01T00:00:00Z [info] started",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert scrub_text(text) == text


@pytest.mark.parametrize("name", ["token", "access_token", "clientSecret", "password", "db_password", "api_key", "apiKey", "X-API-Key"])
@pytest.mark.parametrize("value", ["hunter2", b"hunter2", ["hunter2"], {"a": "hunter2"}, SecretStr("hunter2")])
def test_a_telling_name_hides_whatever_text_is_under_it(name: str, value: object) -> None:
    assert "hunter2" not in json.dumps(scrub({"deep": [{name: value}]}))


@pytest.mark.parametrize(
    "name", ["key_id", "token_type", "secret_name", "prompt", "integration_key", "model", "api_key_id", "tokens_count"]
)
def test_a_name_that_only_tells_about_a_secret_hides_nothing(name: str) -> None:
    assert not is_secret_name(name)


def test_a_list_of_two_words_is_no_header() -> None:
    assert scrub({"scopes": ["tokens:use", "agents:read"]}) == {"scopes": ["tokens:use", "agents:read"]}


def test_counts_of_tokens_are_no_secret() -> None:
    counts = {"prompt_tokens": 12, "total_tokens": 13, "tokens": {"input": 1}, "token_usage": "13", "ok": True, "cost": 0.5, "none": None}
    assert scrub(counts) == counts


def test_raw_header_pairs_are_known_by_their_name() -> None:
    headers = [(b"cookie", b"hunter2"), ("Authorization", "hunter2"), (b"accept", b"*/*")]
    assert scrub({"headers": headers}) == {"headers": [["cookie", "***"], ["Authorization", "***"], ["accept", "*/*"]]}


def test_a_registered_value_never_gets_through_also_not_percent_encoded() -> None:
    register_secret("correct horse/battery", SecretStr("staple-staple"), None, "", "tiny")
    text = "a correct horse/battery b correct%20horse%2Fbattery c correct%20horse/battery d staple-staple e tiny"
    assert scrub_text(text) == "a *** b *** c *** d *** e tiny"
    register_secret("correct horse/battery and more")
    assert scrub_text("correct horse/battery and more") == "***"


def test_anything_can_be_scrubbed_and_is_json_afterwards() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd password=hunter2"

    deep: list[object] = []
    deep.append(deep)
    value = {1: Odd(), "nan": float("nan"), "big": 10**400, "deep": deep, "set": {1}, "surrogate": "\ud800", "bytes": b"\xff", "type": Odd}
    assert "hunter2" not in json.dumps(scrub(value))


@pytest.mark.parametrize(
    "piece", ["a", "://", "://a:", "token", "token ", "Bearer ", "pm_", "eyJaaaaaaaaa.", "-----BEGIN ", "'\": ", "gAAAA", " ", "x-api-key"]
)
def test_a_megabyte_of_almost_secrets_is_read_once(piece: str) -> None:
    # Were a pattern quadratic, this would run into the time limit of the whole suite.
    assert scrub_text(piece * (1_000_000 // len(piece))) is not None
