"""A remote agent API and an endpoint for signed requests, as a process of its own on a free port, which it prints.

A prompt is a script of words: `slow=SECONDS`, `fail`, `refuse`, `flaky=POLLS`, `forget`, `away`, `garbage`. `/log` tells what was asked.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

KEY = "remote-key-of-the-test"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Run:
    """A remote agent at work."""

    id: str
    words: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    polls: int = 0

    def read(self) -> dict[str, Any]:
        if self.cancelled:
            return {"id": self.id, "status": "cancelled"}
        if time.monotonic() - self.began < float(self.words.get("slow", "0")):
            return {"id": self.id, "status": "running"}
        usage = {"input_tokens": 70, "output_tokens": 7}
        if "fail" in self.words:
            return {"id": self.id, "status": "failed", "error": "It could not be done.", "usage": usage, "model": "remote-1"}
        return {"id": self.id, "status": "completed", "output": "Done remotely.", "usage": usage, "model": "remote-1"}


@dataclass
class State:
    """Everything that was asked, and what runs."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    by_key: dict[str, Run] = field(default_factory=dict[str, Run])
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    away: int = 0


STATE = State()


class Handler(BaseHTTPRequestHandler):
    """The API."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' own name
        del format, args

    def do_GET(self) -> None:
        if self.path == "/log":
            self._answer(200, STATE.log)
            return
        self._noted(None)
        if not self._is_authorized():
            self._answer(401, {"error": "who are you?"})
        elif self.path.endswith("/events"):
            self._stream(STATE.runs[self.path.split("/")[3]])
        elif self.path.startswith("/v1/runs/"):
            self._poll(self.path.split("/")[3])
        else:
            self._answer(200, {"hello": True})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", "0")))
        body: Any = json.loads(data) if data else None
        self._noted(body)
        if self.path == "/custom":
            self._custom(data, body)
        elif not self._is_authorized():
            self._answer(401, {"error": "who are you?"})
        elif self.path == "/v1/runs":
            self._start(body)
        else:
            STATE.runs[self.path.split("/")[3]].cancelled = True
            self._answer(200, {})

    def _start(self, body: dict[str, Any]) -> None:
        words = words_of(body["prompt"])
        if "refuse" in words:
            self._answer(422, {"error": "no such agent"})
            return
        with STATE.lock:
            key = self.headers["idempotency-key"]
            run = STATE.by_key.setdefault(key, Run(f"r{len(STATE.by_key)}", words))
            STATE.runs[run.id] = run
        self._answer(201, {"id": run.id, "status": "running"})

    def _poll(self, run_id: str) -> None:
        run = STATE.runs.get(run_id)
        if run is None or "forget" in run.words:
            self._answer(404, {"error": "unknown"})
            return
        run.polls += 1
        if run.polls <= int(run.words.get("flaky", "0")):
            self._answer(503, {"error": "later"})
        else:
            self._answer(200, run.read())

    def _stream(self, run: Run) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in ({"text": "Thinking. "}, {"text": "Doing."}, run.read()):
            self.wfile.write(f": comment\nevent: x\ndata: {json.dumps(event)}\n\n".encode())

    def _custom(self, data: bytes, body: dict[str, Any]) -> None:
        try:
            Webhook(SIGNING).verify(data.decode(), {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self._answer(401, {"error": "the signature is wrong"})
            return
        words = words_of(body["prompt"])
        if "away" in words and STATE.away < int(words["away"]):
            STATE.away += 1
            self._answer(503, {})
        elif "garbage" in words:
            self._answer(200, {"status": "perhaps"})
        elif "refuse" in words:
            self._answer(400, {"error": "not like this"})
        elif "fail" in words:
            self._answer(200, {"status": "failed", "error": "It broke."})
        else:
            time.sleep(float(words.get("slow", "0")))
            usage = {"model": "theirs:m", "prompt_tokens": 5, "completion_tokens": 6}
            self._answer(200, {"status": "completed", "output": "Done.", "result": {"echo": body["options"]}, "usage": usage})

    def _noted(self, body: Any) -> None:
        with STATE.lock:
            named = {name.lower(): value for name, value in self.headers.items()}
            STATE.log.append({"method": self.command, "path": self.path, "headers": named, "body": body})

    def _is_authorized(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {KEY}"

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def words_of(prompt: str) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in prompt.split())}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
