"""Attachments by URL go through egress: a public or allowed host is fetched once, everything else is refused before a run exists."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import both_ways, each_wire, take_turn
from tests.e2e.calling import Caller, unique

PNG = b"\x89PNG\r\n\x1a\n" + b"from afar"


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = "text/html" if self.path == "/page" else "image/png"
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/picture")  # type: ignore[attr-defined]
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(PNG)))
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        pass


@pytest.fixture(scope="module")
def port() -> Generator[int]:
    """A web server on every address of the loopback."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Files)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@each_wire
@both_ways
async def test_a_file_from_an_allowed_host_reaches_the_model(scene: Scene, caller: Caller, port: int, model: str, streamed: bool) -> None:
    word = unique("url")
    agent = await caller.agent(model=model)
    attachments = [{"media_type": "image/png", "url": f"http://127.0.0.2:{port}/picture"}]
    await take_turn(caller, agent, word, streamed=streamed, attachments=attachments)
    (asked,) = scene.asked(word)
    assert [file["sha256"] for file in asked["attachments"]] == [hashlib.sha256(PNG).hexdigest()]


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://127.0.0.1:{port}/picture", 422, "egress-refused"),
        ("http://localhost:{port}/picture", 422, "egress-refused"),
        ("http://[::1]:{port}/picture", 422, "egress-refused"),
        ("http://169.254.169.254/latest/meta-data", 422, "egress-refused"),
        ("http://127.0.0.2:{port}/away", 422, "egress-refused"),
        ("file:///etc/passwd", 422, "egress-refused"),
        ("http://127.0.0.2:{port}/page", 422, "egress-media-type"),
        ("http://127.0.0.2:9/picture", 422, "egress-refused"),
        ("http://127.0.0.2:59999/picture", 502, "egress-failed"),
    ],
)
async def test_other_addresses_are_refused(scene: Scene, caller: Caller, port: int, url: str, status: int, code: str) -> None:
    word = unique("inward")
    agent = await caller.agent()
    attachments = [{"media_type": "image/png", "url": url.format(port=port)}]
    response = await caller.try_chat(agent, word, attachments=attachments)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert not scene.asked(word)
    assert not (await caller.get("/v2/runs", subject=agent))["items"]
