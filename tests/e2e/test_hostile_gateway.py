"""Hostile bodies, paths and queries at every real route of a real gateway: none answered above 499, none stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.conftest import Call, Start
from tests.e2e.gateways import admin_key

from pointsman.api.policies import POLICIES
from pointsman.kit.db import Connection

_VALUES = (
    rb'"\u0000"',
    rb'"\ud800"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"NaN",
    b"1e999",
    b"12345678901234567890123",
    b"[" * 300 + b"]" * 300,
    b'{"a":1,"a":2}',
    rb'{"\u0000":1}',
    b'"' + b"x" * 2_000_000 + b'"',
)
# Where a value lands in each body: names that the routes know, so that it gets as far as it can.
_FIELDS = ("message", "template", "config", "name", "variables", "metadata", "scopes", "content", "version", "attachments", "expires_at")
_PATHS = ("%00", "a%00b", "%ff", "%ED%A0%80", "..%2f..", "a" * 3000, "{x}", "%zz", "run_%00", "99999999999999999999999")
_QUERIES = ("limit=%00", "cursor=%ff", "cursor=WyJcdTAwMDAiXQ", "after=99999999999999999999", "from=%00", "group_by=%00", "q=%F0%28%8C%28")
_ASKS_FOR_NOTHING = "/reindex"  # of a tenant that has no files
_COUNTED = (
    *("prompts.prompts", "prompts.prompt_versions", "agent_info", "agent_prompts", "runs", "run_events", "messages", "sessions"),
    *("memories", "token_usage", "idempotency_keys"),
)


def hostile() -> list[tuple[str, str, bytes]]:
    """Method, path and body of each request."""
    plans: list[tuple[str, str, bytes]] = []
    for route in POLICIES:
        method, template = route.split(" ", 1)
        if not template.startswith("/v2/"):
            continue
        path = template.replace("{agent_id}", "a").replace("{id}", "a").replace("{version}", "1").replace("{label}", "l")
        if method in {"POST", "PUT", "PATCH"}:
            field = _FIELDS[len(plans) % len(_FIELDS)].encode()
            plans += [(method, path, b'{"%b":%b}' % (field, value)) for value in _VALUES]
        else:
            plans += [(method, f"{path}?{query}", b"") for query in _QUERIES]
        if "{" in template:
            head, _, tail = template.partition("{")
            rest = tail.partition("}")[2]
            plans += [(method, f"{head}{segment}{rest}".replace("{", "").replace("}", ""), b"{}") for segment in _PATHS]
    return plans


async def test_nothing_hostile_gets_past_the_door_of_any_route(
    dsn: str, tmp_path: Path, owner: Connection, start: Start, call: Call
) -> None:
    key = await admin_key(dsn, tmp_path)
    gateway = await start(dsn)
    await call(gateway, key).get("/v2/whoami")
    before = [await owner.fetchval(f"SELECT count(*) FROM {table}") for table in _COUNTED]
    plans = hostile()
    assert len(plans) >= 500
    limit, answered = asyncio.Semaphore(8), Counter[int]()

    async def send(method: str, path: str, body: bytes) -> None:
        async with limit:
            status, text = await _say(gateway.url, key, method, path, body)
        answered[status] += 1
        if not 200 <= status < 300:  # a harmless list with a filter that matches nothing is no refusal
            assert 400 <= status <= 499, (method, path[:100], body[:100], status, text[:300])
            assert json.loads(text)["status"] == status, text[:300]
        else:
            assert method in {"GET", "DELETE"} or path.endswith(_ASKS_FOR_NOTHING), (method, path[:100], body[:100], status)

    await asyncio.gather(*(send(*plan) for plan in plans))
    after = [await owner.fetchval(f"SELECT count(*) FROM {table}") for table in _COUNTED]
    assert after == before
    assert (await call(gateway, key).http.get("/readyz")).status_code == 200
    assert '"level":"error"' not in gateway.log.read_text()
    assert sum(count for status, count in answered.items() if status >= 400) >= 500, answered


async def _say(url: str, key: str, method: str, path: str, body: bytes) -> tuple[int, str]:
    """One request byte for byte: no client would send these."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    try:
        writer.write(head.encode() + b"Connection: close\r\n\r\n")
        writer.write(body)
        answer = await asyncio.wait_for(_read(reader), 30)
    finally:
        writer.close()
    first, _, text = answer.partition(b"\r\n\r\n")
    return int(first[9:12]), text.decode(errors="replace")


async def _read(reader: asyncio.StreamReader) -> bytes:
    """All that came, also where the server breaks the connection of a body that it refused to read."""
    read = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := await reader.read(65_536):
            read += piece
    return bytes(read)
