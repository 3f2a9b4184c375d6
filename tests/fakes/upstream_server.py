"""The fake upstream's program: an HTTP server on loopback that speaks four providers' formats, fails on demand and keeps a ledger.

`python -m tests.fakes.upstream_server --port 18080 [--procs 2] [--no-ledger]`. The markers are the fields of `upstream_plan.Plan`:

    [[n=200 ttft=0 itl=0]]            length of the answer, delays in ms        [[say=any text]]   the answer itself
    [[think=5 reasoning=7]]           visible thinking, hidden reasoning        [[cached=64 cache_write=8]]
    [[tool=NAME;args={"a":1}]]        a tool call, several are parallel         [[rounds=2]]   so many turns of tool calls
    [[json={"a":1}]]                  the structured answer (else the smallest that fits the schema)
    [[finish=length]]                 or filter
    [[fault=KIND;after=3;fail_times=2;retry_after=1]]   [[fault=hang;late=1]]   after the usage, in place of the stream's end

Embeddings are asked for over OpenAI's and Google's wires: texts are near whose words mean the same (`upstream_vectors`).

KIND: a status (500, 429, 401, ...), `hang`, `close` and `reset` (before the headers, or after so many tokens), `drip` (bytes without an
end), `truncate` (ends within a frame), `invalid` and `html` (200 with a body nobody can read), `nousage`, `cut` (a clean end before the
finish reason), `error` (an error event in the stream, after so many tokens). `fail_times` counts by the last user text. No faults, but
odd: `twin` (a stream says its usage twice) and `cumulative` (it says the usage so far beside its tokens, and then the whole).

`GET /_ledger[?compact=1&take=1]` (compact: without bodies and headers; take: what has ended, which leaves the ledger), `POST /_reset`,
`POST /_ctl?itl=20&n=200` (defaults for requests without markers), `GET /_stats`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl

import httptools
import msgspec
import uvloop
from tests.fakes import upstream_wires
from tests.fakes.upstream_plan import Asked, Plan, Wire, read_plan, read_request

_ROUTES: tuple[tuple[re.Pattern[str], Wire], ...] = (
    (re.compile(r"/(chat/completions|embeddings)$"), "openai"),
    (re.compile(r"/responses$"), "responses"),
    (re.compile(r"/v1/messages$"), "anthropic"),
    (re.compile(r":((stream)?[gG]enerateContent|batchEmbedContents)$"), "google"),
)
_KEYS = ("authorization", "x-api-key", "x-goog-api-key")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE = frozenset({"", "nousage", "twin", "cumulative"})  # what ends as it should
_MODELS = {"object": "list", "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "fake"}]}


class Entry(msgspec.Struct):
    """One line of the ledger."""

    number: int
    path: str
    wire: str
    at: float
    headers: list[str]
    key: str
    body: Any
    text: str = ""
    stream: bool = False
    status: int = 0
    fault: str = ""
    usage: upstream_wires.Reported | None = None
    reports: list[upstream_wires.Reported] = []  # the usage records that were written out whole, oldest first
    is_final: bool = False  # the last of them is the whole usage
    output: int = 0  # tokens that were written out; of a body all, once a byte of it was
    attachments: list[Any] = []
    completed: bool = False
    aborted: bool = False


class State:
    """What all connections of a process share."""

    def __init__(self, *, ledger: bool) -> None:
        self.entries: deque[Entry] = deque(maxlen=20_000)
        self.keeps_ledger = ledger
        self.failures: Counter[str] = Counter()
        self.defaults: dict[str, str] = {}
        self.rendered: dict[tuple[object, ...], Any] = {}
        self.number = 0
        self.connections = 0

    def take_ended(self) -> list[Entry]:
        ended = [entry for entry in self.entries if entry.completed or entry.aborted or entry.status >= 400]
        left = {id(entry) for entry in ended}
        self.entries = deque((entry for entry in self.entries if id(entry) not in left), maxlen=self.entries.maxlen)
        return ended

    def reset(self) -> None:
        self.entries.clear()
        self.failures.clear()
        self.defaults.clear()
        self.rendered.clear()


class Connection(asyncio.Protocol):
    """One client; requests are answered one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.entry: Entry | None = None
        self.waiting: deque[tuple[str, str, dict[str, str], bytes]] = deque()
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class, without that base
        self.state.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.state.connections -= 1
        self.transport = None
        if self.timer:
            self.timer.cancel()
        if self.entry and not self.entry.completed:
            self.entry.aborted = True

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if self.transport:
                self.transport.close()

    def on_message_begin(self) -> None:
        self.url, self.headers, self.body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.waiting.append((self.parser.get_method().decode(), self.url.decode(), self.headers, b"".join(self.body)))
        if self.entry is None:
            self._next()

    # --- requests

    def _next(self) -> None:
        while self.waiting and self.transport and self.entry is None:
            method, url, headers, raw = self.waiting.popleft()
            path, _, query = url.partition("?")
            wire: Wire | None = next((wire for pattern, wire in _ROUTES if pattern.search(path)), None)
            if wire and method == "POST":
                self._answer(wire, path, headers, raw)
            else:
                self._control(method, path, query)

    def _control(self, method: str, path: str, query: str) -> None:
        state = self.state
        if path == "/_ledger":
            read = _compact if "compact=1" in query else _readable
            entries = state.take_ended() if "take=1" in query else state.entries
            return self._json(200, msgspec.json.encode([read(entry) for entry in entries]))
        if path == "/_stats":
            return self._json(200, msgspec.json.encode({"requests": state.number, "connections": state.connections}))
        if (method, path) == ("POST", "/_reset"):
            state.reset()
        elif (method, path) == ("POST", "/_ctl"):
            state.defaults |= dict(parse_qsl(query))
        elif path.endswith("/models"):
            return self._json(200, msgspec.json.encode(_MODELS))
        elif not path.startswith("/_"):
            return self._json(404, upstream_wires.error_body("openai", 404, f"no such path: {path}"))
        return self._json(200, b"{}")

    def _answer(self, wire: Wire, path: str, headers: dict[str, str], raw: bytes) -> None:
        state = self.state
        state.number += 1
        key = next((headers[name] for name in _KEYS if name in headers), "")
        self.entry = entry = Entry(state.number, path, wire, time.time(), list(headers), key, raw)
        if state.keeps_ledger:
            state.entries.append(entry)
        try:
            asked = read_request(wire, path, raw)
            plan = read_plan(asked, state.defaults)
        except (ValueError, KeyError, TypeError, msgspec.MsgspecError) as error:
            self._finish(400, upstream_wires.error_body(wire, 400, f"{type(error).__name__}: {error}"))
            return
        entry.text, entry.stream, entry.attachments = asked.text, asked.stream, list(asked.attachments)
        if plan.fail_times is not None:
            state.failures[asked.text] += 1
            plan.fault = plan.fault if state.failures[asked.text] <= plan.fail_times else ""
        entry.fault = plan.fault
        plan.message = plan.message.replace("{key}", key)
        self._play(entry, asked, plan)

    def _play(self, entry: Entry, asked: Asked, plan: Plan) -> None:
        fault = plan.fault
        amid_the_stream = asked.stream and (plan.after is not None or plan.late)
        if fault.isdecimal() or (fault in {"hang", "close", "reset", "drip", "invalid", "html"} and not amid_the_stream):
            self._fail(entry, asked, plan)
        elif asked.stream:
            self._stream(entry, asked, plan)
        else:
            self._whole(entry, asked, plan)

    # --- answers

    def _whole(self, entry: Entry, asked: Asked, plan: Plan) -> None:
        if plan.fault == "error":  # asked for amid a stream, which this is not
            self._fail(entry, asked, plan)
            return
        body: bytes = self._rendered(upstream_wires.whole, entry, asked, plan)
        entry.usage = None if plan.fault == "nousage" else upstream_wires.usage_of(asked, plan)
        if plan.fault == "truncate":
            entry.status, entry.output = 200, len(plan.tokens())
            self._write(_head(200, len(body)) + body[: len(body) // 2])
            self._close()
            return

        def send() -> None:
            entry.output = len(plan.tokens())
            entry.reports = [entry.usage] if entry.usage else []
            entry.is_final = entry.usage is not None
            self._finish(200, body)

        self._later((plan.ttft + plan.itl * len(plan.tokens())) / 1000, send)

    def _stream(self, entry: Entry, asked: Asked, plan: Plan) -> None:
        entry.status = 200
        frames: upstream_wires.Frames = self._rendered(upstream_wires.streamed, entry, asked, plan)
        entry.usage = None if plan.fault in {"nousage", "cut"} else upstream_wires.usage_of(asked, plan)
        whole = plan.fault in _WHOLE
        ticks = frames.ticks if whole or plan.after is None else frames.ticks[: plan.after]
        pieces = [(tick, number) for number, tick in enumerate(ticks, start=1)] if plan.itl else [(b"".join(ticks), len(ticks))]
        if whole and not plan.itl and not plan.ttft:
            self._note(frames, len(ticks), len(frames.tail))
            self._write(_STREAM_HEAD + _chunk(pieces[0][0] + frames.tail) + b"0\r\n\r\n")
            self._done()
            return
        self._write(_STREAM_HEAD)
        self._tick(frames, pieces, self.loop.time() + plan.ttft / 1000, plan, lambda: self._end_stream(asked, plan, frames))

    def _tick(
        self, frames: upstream_wires.Frames, pieces: list[tuple[bytes, int]], due: float, plan: Plan, end: Callable[[], None]
    ) -> None:
        if not pieces:
            end()
            return

        def send() -> None:
            data, ticks = pieces[0]
            self._note(frames, ticks)
            self._write(_chunk(data))
            self._tick(frames, pieces[1:], due + plan.itl / 1000, plan, end)

        self.timer = self.loop.call_at(due, send)

    def _note(self, frames: upstream_wires.Frames, ticks: int, tail: int = 0) -> None:
        """So much is written out from here on, if anybody is still there."""
        if self.entry and self.transport:
            reports = frames.reported(ticks, tail)
            self.entry.output = ticks
            self.entry.reports = [report.usage for report in reports]
            self.entry.is_final = any(report.is_final for report in reports)

    def _end_stream(self, asked: Asked, plan: Plan, frames: upstream_wires.Frames) -> None:
        whole = len(frames.ticks)
        if plan.fault in _WHOLE:
            self._note(frames, whole, len(frames.tail))
            self._write(_chunk(frames.tail) + b"0\r\n\r\n")
            self._done()
            return
        if plan.late and plan.fault != "truncate":
            self._note(frames, whole, frames.usage_ends)
            self._write(_chunk(frames.tail[: frames.usage_ends]))
        self._break(asked, plan, frames)

    def _break(self, asked: Asked, plan: Plan, frames: upstream_wires.Frames) -> None:
        if plan.fault == "cut":
            self._write(b"0\r\n\r\n")
            self._done(completed=False)
        elif plan.fault == "truncate":
            half = len(frames.tail) // 2
            self._note(frames, len(frames.ticks[: plan.after]), half)
            self._write(b"%x\r\n" % (len(frames.tail) + 10) + frames.tail[:half])
            self._close()
        elif plan.fault == "error":
            self._write(_chunk(upstream_wires.error_frame(asked.wire, plan.message)) + b"0\r\n\r\n")
            self._done(completed=False)
        elif plan.fault == "invalid":
            self._write(_chunk(b'data: {"choices": [{"delta": \n\n') + b"0\r\n\r\n")
            self._done(completed=False)
        elif plan.fault == "drip":
            self._drip(_keep_alive(asked))
        elif plan.fault == "reset":
            self._reset()
        elif plan.fault == "close":
            self._close()

    def _rendered(self, render: Callable[[Asked, Plan, int], Any], entry: Entry, asked: Asked, plan: Plan) -> Any:
        """Render, or take what was rendered before: a benchmark asks the same thing all the time."""
        key = plan.key(asked)
        kept = self.state.rendered
        if key is None:
            return render(asked, plan, entry.number)
        if key not in kept:
            if len(kept) > 500:
                kept.clear()
            kept[key] = render(asked, plan, entry.number)
        return kept[key]

    # --- faults

    def _fail(self, entry: Entry, asked: Asked, plan: Plan) -> None:
        fault = plan.fault
        if fault.isdecimal() or fault == "error":
            status = int(fault) if fault.isdecimal() else 503
            extra = b"" if plan.retry_after is None else b"Retry-After: %g\r\n" % plan.retry_after
            self._finish(status, upstream_wires.error_body(asked.wire, status, plan.message), extra)
        elif fault == "reset":
            self._reset()
        elif fault == "close":
            self._close()
        elif fault == "drip":
            entry.status = 200
            self._write(_STREAM_HEAD if asked.stream else _head(200, 1_000_000))
            self._drip(_keep_alive(asked) if asked.stream else b" ")
        elif fault == "html":
            self._finish(200, b"<html><body>It works!</body></html>", kind=b"text/html")
        elif fault == "invalid" and asked.stream:
            self._finish(200, b'data: {"choices": [{"delta": \n\n', kind=b"text/event-stream")
        elif fault == "invalid":
            self._finish(200, b'{"choices": [{"message": {"content": "tok0 ')

    def _drip(self, piece: bytes) -> None:
        self._write(piece)
        self.timer = self.loop.call_later(0.1, self._drip, piece)

    def _reset(self) -> None:
        if self.transport:
            with socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno())) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def _close(self) -> None:
        if self.transport:
            self.transport.close()

    # --- plumbing

    def _later(self, delay: float, act: Callable[[], None]) -> None:
        if delay <= 0:
            act()
        else:
            self.timer = self.loop.call_later(delay, act)

    def _write(self, data: bytes) -> None:
        if self.transport:
            self.transport.write(data)

    def _json(self, status: int, body: bytes) -> None:
        self._write(_head(status, len(body)) + body)

    def _finish(self, status: int, body: bytes, extra: bytes = b"", kind: bytes = b"application/json") -> None:
        assert self.entry
        self.entry.status = status
        self._write(_head(status, len(body), extra, kind) + body)
        self._done(completed=status < 400)

    def _done(self, *, completed: bool = True) -> None:
        assert self.entry
        self.entry.completed = completed and self.transport is not None
        self.entry = None
        if self.waiting:
            self.loop.call_soon(self._next)


def _head(status: int, length: int, extra: bytes = b"", kind: bytes = b"application/json") -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded"
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n" % (status, phrase.encode(), kind, extra, length)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _keep_alive(asked: Asked) -> bytes:
    """A piece of a stream that says nothing; Google's SDK knows no comments."""
    return _chunk(b"\r\n" if asked.wire == "google" else b": still here\n\n")


def _compact(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, body=None, headers=[], key="", attachments=[])


def _readable(entry: Entry) -> Entry:
    try:
        body = msgspec.json.decode(entry.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        body = entry.body.decode("utf-8", "replace")
    return msgspec.structs.replace(entry, body=body)


async def _serve(sock: socket.socket, *, ledger: bool, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    state = State(ledger=ledger)
    server = await loop.create_server(lambda: Connection(state), sock=sock, backlog=4096)
    stopped = asyncio.Event()
    if until_stdin_closes:  # so that no fake outlives the test that was killed
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    print(sock.getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    """Listen and serve."""
    parser = argparse.ArgumentParser(description="A fake model provider.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--procs", type=int, default=1, help="processes that share the port; each has its own ledger")
    parser.add_argument("--no-ledger", action="store_true")
    parser.add_argument("--until-stdin-closes", action="store_true")
    options = parser.parse_args()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", options.port))
    for _ in range(options.procs - 1):
        if os.fork() == 0:
            break
    uvloop.run(_serve(sock, ledger=not options.no_ledger, until_stdin_closes=options.until_stdin_closes))


if __name__ == "__main__":
    main()
