"""Failures whose messages like to quote a secret: providers with wrong addresses and keys, callers who send theirs anywhere."""

from __future__ import annotations

import asyncio
import base64
import random
import string
from contextlib import suppress
from itertools import count
from typing import Any
from urllib.parse import quote, urlsplit

from tests.faults.stage import Stage

_LETTERS = string.ascii_letters + string.digits
_numbers = count()


def made_up(chance: random.Random, prefix: str = "", length: int = 32) -> str:
    """A secret that nothing else looks like."""
    return prefix + "".join(chance.choices(_LETTERS, k=length))


def provider_secrets(chance: random.Random) -> dict[str, str]:
    """Of the providers below: keys with and without a telling beginning, one that no header can hold, and parts of addresses."""
    return {
        "key of openai": made_up(chance, "sk-proj-"),
        "key of anthropic": made_up(chance, "sk-ant-api03-"),
        "key of google": made_up(chance, "AIza"),
        "key of the echoing provider": made_up(chance),
        "key of the absent provider": made_up(chance, "gsk_"),
        "key with a line break": made_up(chance, "sk-") + "\nX-Injected: yes",
        "key beyond Latin": "ключ-" + made_up(chance),
        "password in an address": made_up(chance),
        "token in an address": made_up(chance),
        "password of the proxy": made_up(chance),
    }


def provider_variables(secrets: dict[str, str], chat_url: str) -> dict[str, str]:
    """A gateway's environment with all of them; `chat_url` is where the fake upstream speaks OpenAI's words."""
    parts = urlsplit(chat_url)
    providers = {
        "echoing": (chat_url, "key of the echoing provider"),
        "absent": (f"http://user:{secrets['password in an address']}@127.0.0.1:9/v1", "key of the absent provider"),
        "misplaced": (f"{parts.scheme}://{parts.netloc}/nowhere/{secrets['token in an address']}", "key of the absent provider"),
        "broken": (chat_url, "key with a line break"),
        "foreign": (chat_url, "key beyond Latin"),
        "proxied": ("http://nowhere.invalid/v1", "key of the absent provider"),
    }
    variables = {
        "OPENAI_API_KEY": secrets["key of openai"],
        "ANTHROPIC_API_KEY": secrets["key of anthropic"],
        "ANTHROPIC_BASE_URL": f"{parts.scheme}://{parts.netloc}/nowhere",
        "GOOGLE_API_KEY": secrets["key of google"],
        "GOOGLE_BASE_URL": f"{parts.scheme}://{parts.netloc}/nowhere",
        # It is no proxy, and says so with its own words.
        "POINTSMAN_PROVIDERS__PROXIED__PROXY": f"http://user:{secrets['password of the proxy']}@{parts.netloc}",
    }
    for name, (url, key) in providers.items():
        variables[f"POINTSMAN_PROVIDERS__{name.upper()}__BASE_URL"] = url
        variables[f"POINTSMAN_PROVIDERS__{name.upper()}__API_KEY"] = secrets[key]
    return variables


MODELS = (
    "echoing:m",
    "absent:m",
    "misplaced:m",
    "broken:m",
    "foreign:m",
    "anthropic:claude-opus-4-5",
    "google:gemini-2.5-pro",
    "openai:gpt-4o",
)
# What a provider says of a key that it was given: whole, in the body of the refusal and in the middle of a stream.
QUOTES = ("fault=401;message=Incorrect API key provided: {key}", "fault=error;after=2;message=your key {key} is over its quota")


async def providers_quote(stage: Stage) -> None:
    """Each provider is asked, as JSON and as a stream, and refuses with the key in its words."""
    await asyncio.gather(*(_quotes(stage, model) for model in MODELS))


async def _quotes(stage: Stage, model: str) -> None:
    agent, client = await stage.agent(model=model), stage.client(f"tempter-{next(_numbers)}")
    for quoted in QUOTES:
        for ask in (client.chat, client.stream):
            await ask(agent, f"asked of {model} {next(_numbers)} [[n=5 {quoted}]]", faulty=True)


async def callers_send_theirs_anywhere(stage: Stage) -> None:
    """Junk keys, passwords, cookies and tokens in headers, queries, paths and broken requests."""
    chance, secrets = stage.chance, stage.secrets
    password = secrets["a caller's password"] = made_up(chance)
    bearer = secrets["a caller's unknown token"] = made_up(chance)
    unknown = secrets["a caller's unknown key"] = made_up(chance, "pm_", 49)
    cookie = secrets["a caller's cookie"] = made_up(chance)
    token = secrets["a token in a query"] = made_up(chance)
    headers: tuple[dict[str, str], ...] = (
        {"authorization": f"Bearer {bearer}"},
        {"authorization": f"Bearer {unknown}"},
        {"authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()},
        {"authorization": f"Token token={bearer}"},
        {"x-api-key": unknown, "cookie": f"session={cookie}; theme=dark"},
        {"authorization": f"Bearer {secrets['key admin']}", "x-api-key": unknown},
        {"authorization": f"Bearer {secrets['key admin']}", "proxy-authorization": f"Basic {password}", "cookie": f"session={cookie}"},
    )
    for path in ("/v2/agents", "/v2/agents/x/chat", "/nowhere", f"/v2/runs?api_key={token}", f"/v2/runs?access_token={token}&limit=no"):
        for given in headers:
            for method in ("GET", "POST"):
                await stage.http.request(method, stage.any_replica().url + path, headers=given, content=b"{" if method == "POST" else None)
    for head in (
        f"GET /v2/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\0\r\n\r\n",
        f"GET /v2/agents?token={token} HTTP/9.9\r\n\r\n",
        f"G\0T / HTTP/1.1\r\nX-API-Key: {unknown}\r\n\r\n",
        f"GET /v2/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}{'x' * 100_000}\r\n\r\n",
    ):
        await _raw(stage.any_replica().url, head)


async def urls_hold_secrets(stage: Stage) -> None:
    """Attachments by addresses with a password in them, which are refused or cannot be had."""
    password = stage.secrets["a password in an attachment's address"] = made_up(stage.chance)
    agent = await stage.agent()
    for url in (f"http://user:{password}@127.0.0.1/a.png", f"http://user:{password}@nowhere.invalid/a.png", f"ftp://u:{password}@h/a.png"):
        body = {"message": f"look {next(_numbers)}", "attachments": [{"media_type": "image/png", "url": url}]}
        await stage.client("looker").request("mistake", "POST", f"/v2/agents/{agent}/chat", body)


async def keys_come_and_go(stage: Stage) -> None:
    """Made with an Idempotency-Key (whose answers are kept), used beyond its scopes, rotated, and revoked."""
    agent = await stage.agent()
    for name in ("first", "second"):
        made = await _made_twice(stage, name)
        stage.secrets[f"key {name}"] = made["api_key"]
        client = stage.client(name, name)
        await client.chat(agent, f"{name} says hello [[n=3]]")
        await client.request("mistake", "GET", "/v2/keys")
        rotated = await stage.ask("POST", f"/v2/keys/{made['id']}/rotate", {"overlap_seconds": 0})
        stage.secrets[f"key {name} rotated"] = rotated["api_key"]
        await stage.ask("DELETE", f"/v2/keys/{rotated['id']}")
        await client.request("mistake", "GET", "/v2/whoami")


async def _made_twice(stage: Stage, name: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {stage.secrets['key admin']}", "idempotency-key": f"make-{name}"}
    body = {"name": name, "scopes": ["agents:run"]}
    first, second = [await stage.http.post(f"{stage.any_replica().url}/v2/keys", json=body, headers=headers) for _ in range(2)]
    assert first.json() == second.json(), "the same Idempotency-Key made two keys"
    return first.json()


async def starts_fail(stage: Stage) -> None:
    """Gateways that do not start, because a secret among their settings is wrong."""
    chance, secrets = stage.chance, stage.secrets
    password = secrets["a wrong database password"] = made_up(chance)
    ring = secrets["what is no key ring"] = made_up(chance)
    misplaced = secrets["a key in an unknown variable"] = made_up(chance, "sk-")
    dsn = stage.dsn.replace(quote(secrets["database password"]), password)
    wrong = (
        {"POINTSMAN_DATABASE__URL": dsn},
        {"POINTSMAN_DATABASE__URL": f"postgresql://pm:{password}@nowhere.invalid:5432/x"},
        {"POINTSMAN_DATABASE__URL": f"postgresql://pm:{password}@127.0.0.1:port/x"},
        {"POINTSMAN_KEYRING__KEYS": f'["{ring}"]'},
        {"POINTSMAN_KEYRING__KEYS": ring},
        {"POINTSMAN_PROVIDERS__PROXIED__PROXY": f"socks://user:{password}@127.0.0.1:1"},
        {"POINTSMAN_PROVIDERS__PROXIED__PROXY": f"http://user:{password}@127.0.0.1:port"},
        {"POINTSMAN_OPENAI_KEY": misplaced},
    )
    failures = await asyncio.gather(*(stage.start(**variables) for variables in wrong), return_exceptions=True)
    started = [list(variables) for variables, failure in zip(wrong, failures, strict=True) if not isinstance(failure, RuntimeError)]
    assert not started, f"a gateway started with a wrong {started}"


async def _raw(url: str, head: str) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.encode("latin-1"))
    with suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
