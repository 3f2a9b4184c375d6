"""The server as a process: streams, draining, and connections that behave badly."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.api.edge_scene import Server, make_key, serving

from pointsman.kit.db import Connection


async def events_of(answer: httpx.Response) -> list[int]:
    return [int(number) for number in re.findall(r"^id: (\d+)$", (await answer.aread()).decode(), re.MULTILINE)]


async def test_a_stream_has_ids_and_resumes_after_the_last(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path) as server, server.client() as client:
        answer = await client.get("/v2/ticks?count=3")
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.text.startswith('id: 1\nevent: tick\ndata: {"seq":1,"text":"x"}\n\nid: 2\n')
        assert await events_of(await client.get("/v2/ticks?count=3", headers={"last-event-id": "2"})) == [3]
        assert await events_of(await client.get("/v2/ticks?count=3&after=1")) == [2, 3]
        assert await events_of(await client.get("/v2/ticks?count=3&after=1", headers={"last-event-id": "2"})) == [3]
        for bad in ("x", "-1", "99999999999", "1.5"):
            refused = await client.get("/v2/ticks", headers={"last-event-id": bad})
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/header/Last-Event-ID")
        ignored = await client.get("/v2/ticks?after=null", headers={"last-event-id": "2"})
        assert (ignored.status_code, ignored.json()["errors"][0]["pointer"]) == (422, "/query/after")
        head = await client.head("/v2/ticks?count=9999&pause=1")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_a_silent_stream_is_kept_alive_by_comments(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path) as server, server.client() as client:
        answer = await client.get("/v2/ticks?count=1&pause=0.5&heartbeat=0.1")
        assert answer.text.count(": still here\n\n") >= 2
        assert await events_of(answer) == [1]


async def test_draining_ends_streams_resumable_finishes_requests_and_turns_new_ones_away(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path, drain_seconds=10) as server, server.client() as client:

        async def stream(query: str) -> httpx.Response:
            return await client.get(f"/v2/ticks?{query}")

        busy = asyncio.create_task(stream("count=100000&pause=0.01"))
        idle = asyncio.create_task(stream("count=1&pause=3600"))
        slow = asyncio.create_task(client.get("/v2/slow?seconds=2"))
        await asyncio.sleep(0.5)
        server.signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "not-ready")
        for ended in (await busy, await idle):
            assert ended.text.endswith("retry: 500\n: this process is stopping, the stream resumes by id\n\n")
        seen = await events_of(await busy)
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) > 10
        assert (await slow).json() == {"slow": True}
        await server.ended()
        assert server.process.returncode == 0


async def test_draining_is_bounded_and_says_so(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path, drain_seconds=2.5) as server, server.client() as client:
        never = asyncio.create_task(client.get("/v2/slow?seconds=3600"))
        await asyncio.sleep(0.5)
        server.signal(signal.SIGINT)
        answer = await never
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        await server.ended(within=5)
        assert server.process.returncode == 0
        assert "Traceback" not in server.log.read_text()


async def test_a_client_that_leaves_is_no_error(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path) as server:
        for request in (
            b"GET /v2/ticks?count=1&pause=3600 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v2/slow?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        ):
            _, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(request)
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.transport.abort()
        await asyncio.sleep(0.5)
        async with server.client() as client:
            assert (await client.get("/livez")).status_code == 200
        server.signal()
        assert (await server.ended())["tasks"] == 1
        told = server.log.read_text()
        assert '"level":"error"' not in told, told


async def test_a_reader_that_does_not_read_is_dropped(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path) as server:
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect((server.host, server.port))
            stuck.sendall(b"GET /v2/ticks?count=2000&size=100000&slowest=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in range(50):
                await asyncio.sleep(0.1)
                if "stream.reader_too_slow" in server.log.read_text():
                    break
            assert "stream.reader_too_slow" in server.log.read_text()
            stuck.settimeout(5)
            with suppress(ConnectionError):
                while stuck.recv(65536):
                    pass


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"413"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 60_000, b"413"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"413"),
        (b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", b"400"),
        (b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
async def test_what_the_parser_cannot_read_is_answered_by_a_problem(server: Server, request_bytes: bytes, status: bytes) -> None:
    answer = await server.say(request_bytes, until_end=False)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"application/problem+json" in answer or b"401" in answer[:15]


@pytest.fixture
async def server(dsn: str, tmp_path: Path) -> AsyncGenerator[Server]:
    async with serving(dsn, tmp_path) as server:
        yield server


async def test_a_refused_body_is_let_in_far_enough_for_its_answer_to_be_read(server: Server, owner: Connection) -> None:
    key = (await make_key(owner, "admin")).encode()
    body = b"x" * 3_000_000
    head = b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key + b"\r\nContent-Type: application/json\r\n"
    answer = await server.say(head + b"Content-Length: 3000000\r\n\r\n", body, until_end=False)
    assert answer.startswith(b"HTTP/1.1 413"), answer[:100]
    chunked = b"".join(b"10000\r\n" + b"x" * 0x10000 + b"\r\n" for _ in range(40)) + b"0\r\n\r\n"
    answer = await server.say(head + b"Transfer-Encoding: chunked\r\n\r\n", chunked, until_end=False)
    assert answer.startswith(b"HTTP/1.1 413"), answer[:100]
    # The connection goes on after a body that nobody wanted.
    unwanted = b"POST /v2/notes HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789"
    answer = await server.say(unwanted + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in answer


async def test_more_connections_than_the_bound_are_refused_with_a_problem(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path, limits={"connections": 10}) as server:
        held = [await asyncio.open_connection(server.host, server.port) for _ in range(20)]
        reader, writer = await asyncio.open_connection(server.host, server.port)
        refused = await reader.read()
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"too-many-connections" in refused
        for _, one in [*held, (reader, writer)]:
            one.close()
        await asyncio.sleep(0.2)
        async with server.client() as client:
            assert (await client.get("/livez")).status_code == 200


async def test_a_port_that_is_taken_is_said_plainly(server: Server, dsn: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=rf"Cannot listen on 127.0.0.1:{server.port}: .*in use"):
        async with serving(dsn, tmp_path, port=server.port):
            pass
