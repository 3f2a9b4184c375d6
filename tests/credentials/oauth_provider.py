"""A provider in a process of its own: rotating refresh tokens, each good once; says on standard output what it was asked."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs


class Grants:
    """What is good; `failures` are statuses that come first."""

    def __init__(self, failures: list[int]) -> None:
        self.lock = Lock()
        self.number = 0
        self.failures = failures
        self.asked = 0
        self.revoked: list[str] = []

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        with self.lock:
            if path == "/seen":
                return 200, {"asked": self.asked, "revoked": self.revoked}
            if path == "/revoke":
                self.revoked.append(form["token"])
                return 200, {}
            self.asked += 1
            if self.failures:
                return self.failures.pop(0), {}
            if form["client_secret"] != "client-hush":
                return 401, {"error": "invalid_client"}
            if form["refresh_token"] != f"refresh-{self.number}":
                return 400, {"error": "invalid_grant"}
            self.number += 1
            return 200, {"access_token": f"access-{self.number}", "refresh_token": f"refresh-{self.number}", "expires_in": 3600}


class Handler(BaseHTTPRequestHandler):
    grants: Grants

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("content-length", "0"))).decode())
        status, said = self.grants.answer(self.path, {name: values[0] for name, values in form.items()})
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "2")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Silent."""


if __name__ == "__main__":
    Handler.grants = Grants([int(status) for status in sys.argv[1:]])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
