"""Five hundred hostile requests over raw sockets: none answered above 499, none stored, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

from tests.api.edge_scene import Server, make_key, serving

from pointsman.kit.db import Connection

SEED = 20_260_701
_ROUTES = (
    ("POST", "/v2/notes", b'{"text":%b}'),
    ("POST", "/v2/say", b'{"message":%b}'),
    ("POST", "/v2/prompts", b'{"id":"p","name":"n","template":%b}'),
    ("POST", "/v2/prompts", b'{"id":%b,"name":"n","template":"t"}'),
    ("PATCH", "/v2/prompts/p", b'{"name":%b}'),
    ("POST", "/v2/prompts/p/rollback", b'{"version":%b}'),
    ("POST", "/v2/prompts/p/render", b'{"variables":%b}'),
    ("PUT", "/v2/prompts/p/labels/production", b'{"version":%b}'),
)
_VALUES = (
    b'"\\u0000"',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\x00"',
    b'"\x01"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"12345678901234567890123",
    b"-9999999999999999999999",
    b"9223372036854775808",
    b"1" * 5000,
    b"0." + b"9" * 5000,
    b"[" * 300 + b"]" * 300,
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b"[" * 100_000,
    b'{"a":1,"a":2}',
    b'{"\\u0000":1}',
    b"'single'",
    b"{,}",
    b"[1,]",
    b"tru",
    b"",
    b'"unterminated',
)
_WHOLE = (
    b"",
    b" ",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"null",
    b"[]",
    b'"x"',
    b"{}{}",
    b"{",
    b"\xff" * 100,
    '{"text":"é"}'.encode("utf-16"),
    b"text=a&b=c",
)
_SEGMENTS = (
    "%00",
    "a%00b",
    "%ff",
    "%c3%28",
    "%ED%A0%80",
    "%F5%80%80%80",
    "%0d%0aX-Injected:%201",
    "%7f",
    "..%2f..%2fetc",
    "%2e%2e",
    "a" * 300,
    "a" * 1500,
    "%F0%9F%92%A9",
    "-1",
    "99999999999999999999",
    "1e5",
    "'; DROP TABLE prompts.prompts;--".replace(" ", "%20"),
    "%25%00",
    "{id}",
    "*",
    "%",
    "%zz",
    "%u0000",
)
_QUERIES = (
    "limit=%00",
    "limit=-1",
    "limit=0",
    "limit=1e9",
    "limit=99999999999999999999",
    "limit=a",
    "limit=%ff",
    "limit=1&limit=%00",
    "cursor=%00",
    "cursor=!!!",
    "cursor=AAAA",
    "cursor=WzFd",
    "cursor=WyJcdTAwMDAiXQ",
    "cursor=WyJcdWQ4MDAiXQ",
    "cursor=" + "A" * 1025,
    "cursor=" + "A" * 9000,
    "tag=%00",
    "tag=%ED%A0%80",
    "&".join(f"tag=t{number}" for number in range(100)),
    "include_inactive=maybe",
    "%00=1",
    "a" * 9000,
    "q=%F0%28%8C%28",
    "&&&&====",
    "search=%00",
    "search=%25%5F%5C",
    "cursor=W251bGxd",
    "cursor=WzEsMiwzLDQsNV0",
    "cursor=W1tbW11dXV0",
    "cursor=WzFlOTk5XQ",
)
_HEADERS = (
    b"Content-Type: text/plain",
    b"Content-Type: application/json; charset=utf-7",
    b"Content-Type: \xff",
    b"Content-Encoding: gzip",
    b"X-Pointsman-Tenant: \xff",
    b"X-Pointsman-Tenant: ../..",
    b"X-Pointsman-Tenant: " + b"a" * 300,
    b'Idempotency-Key: "',
    b"Idempotency-Key: " + b"a" * 300,
    b"Idempotency-Key: \xc3\xa9",
    b"X-Request-Id: " + b"a" * 5000,
    b"X-Request-Id: \x80\xff",
    b"Authorization: Bearer other",
    b"Accept: \xff/\xff",
    b"Expect: 100-continue",
    b"Expect: nonsense",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    b"Cookie: " + b"a=b; " * 2000,
    b"Range: bytes=0-0,-1",
)


def hostile(key: str) -> Iterator[bytes]:
    """Every sort of trouble, then as many random mixtures of them as are missing to 500."""
    json_head = b"Content-Type: application/json"
    plans = [(method, path, json_head, template % value) for method, path, template in _ROUTES for value in _VALUES]
    plans += [(method, path, json_head, body) for method, path, _ in _ROUTES for body in _WHOLE]
    for segment in _SEGMENTS:
        plans += [(method, f"/v2/prompts/{segment}", json_head, b"") for method in ("GET", "DELETE")]
        plans += [("GET", f"/v2/prompts/p/versions/{segment}", json_head, b""), ("GET", f"/{segment}", json_head, b"")]
    plans += [("GET", f"/v2/prompts?{query}", json_head, b"") for query in _QUERIES]
    plans += [("GET", f"/v2/prompts/p/versions?{query}", json_head, b"") for query in _QUERIES]
    plans += [("POST", "/v2/notes", header, b'{"text":"\\u0000"}') for header in _HEADERS]
    chance = random.Random(SEED)
    while len(plans) < 600:
        method, path, template = chance.choice(_ROUTES)
        body = bytearray(template % chance.choice(_VALUES))
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(128, 256)
        plans.append((method, path + "?" + chance.choice(_QUERIES), json_head, bytes(body)))
    for method, path, header, body in plans:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"X-API-Key: " + key.encode(), header, b"Content-Length: %d" % len(body)]
        yield b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + body


async def test_five_hundred_hostile_requests_are_refused_and_leave_nothing(dsn: str, tmp_path: Path, owner: Connection) -> None:
    key = await make_key(owner, "admin")
    async with serving(dsn, tmp_path) as server:
        requests = list(hostile(key))
        assert len(requests) >= 500
        limit = asyncio.Semaphore(8)

        async def send(request: bytes) -> tuple[bytes, bytes]:
            async with limit:
                return request, await server.say(request)

        answers = await asyncio.gather(*(send(request) for request in requests))
        wrong = [(request[:200], answer[:300]) for request, answer in answers if not _refused(request, answer)]
        assert not wrong, f"{len(wrong)} were not refused: {wrong[:5]}"
        await _nothing_is_stored(owner)
        await _still_serves(server)
        server.signal()
        assert (await server.ended())["made"] == 0
        assert '"level":"error"' not in server.log.read_text()


def _refused(request: bytes, answer: bytes) -> bool:
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    if request.startswith((b"GET", b"DELETE")) and status in {200, 204}:
        return True
    if b'"message":"' in request and status == 200:
        return b"\\u0000" not in request
    if 400 <= status <= 499:
        head, _, body = answer.partition(b"\r\n\r\n")
        return b"application/problem+json" in head and json.loads(body)["status"] == status and b"X-Injected" not in head
    return False


async def _nothing_is_stored(owner: Connection) -> None:
    for table in ("prompts.prompts", "prompts.prompt_versions", "prompts.prompt_labels", "idempotency_keys", "audit_log"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def _still_serves(server: Server) -> None:
    async with server.client() as client:
        assert (await client.get("/readyz")).status_code == 200
