"""An API in a process of its own that answers with all it was sent, as it is and encoded: the worst that a tool can do with a token."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

ADDRESS = "127.0.0.2"
SEEN: list[dict[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/seen":
            self._answer(SEEN)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        SEEN.append(headers)
        text = json.dumps(headers)
        encoded = {"percent": quote(text), "hex": text.encode().hex(), "base64": base64.b64encode(text.encode()).decode()}
        self._answer({"as it is": headers, "within JSON": text, **encoded})

    def _answer(self, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Silent."""


if __name__ == "__main__":
    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
