"""A server that answers what a test tells it to, also by breaking off in the middle."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

BREAK = None
"""Among the chunks of an answer: end the connection here, without an end of the body."""


class Answer(NamedTuple):
    status: int = 200
    body: Any = None
    headers: dict[str, str] | None = None
    chunks: tuple[bytes | None, ...] = ()


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class RudeServer(ThreadingHTTPServer):
    """Gives the answers one after the other, then the last one for ever."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def answering(*answers: Answer) -> Generator[RudeServer]:
    server = RudeServer(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frame(seq: int, name: str, **data: Any) -> bytes:
    return f"id: {seq}\nevent: {name}\ndata: {json.dumps({'run_id': 'run_1', 'seq': seq, **data})}\n\n".encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _rude(self) -> RudeServer:
        assert isinstance(self.server, RudeServer)
        return self.server

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self._rude.asked.append(Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        answer = self._rude.answers.pop(0) if len(self._rude.answers) > 1 else self._rude.answers[0]
        if answer.chunks[:1] == (BREAK,):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        if answer.chunks:
            self._stream(answer.chunks)
            return
        content = json.dumps(answer.body).encode()
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, chunks: tuple[bytes | None, ...]) -> None:
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            if chunk is None:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        pass
