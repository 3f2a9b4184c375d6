"""A provider at which users consent, in a process of its own; how it behaves is what it is asked for as a scope.

It checks what a real one would: the client, the redirect address, and that a code comes with the verifier of its challenge, once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlencode, urlsplit

ISSUER = "https://issuer.test"


@dataclass
class Code:
    redirect_uri: str
    challenge: str
    scope: str


@dataclass
class Consents:
    """Codes that nobody has used, and what was asked; `steps` says how often a code was exchanged or refused."""

    lock: Lock = field(default_factory=Lock)
    codes: dict[str, Code] = field(default_factory=dict[str, Code])
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    steps: list[str] = field(default_factory=list[str])

    def consent(self, asked: dict[str, str]) -> str:
        """Where the browser goes back to."""
        scope = asked.get("scope", "")
        self.asked.append(asked)
        back = {"state": asked["state"], "iss": ISSUER}
        if "deny" in scope:
            back |= {"error": "access_denied", "error_description": "<b>no</b>"}
        elif "mute" not in scope:
            code = f"code-{len(self.codes)}-{asked['state'][:8]}"
            self.codes[code] = Code(asked["redirect_uri"], asked.get("code_challenge", ""), scope)
            back["code"] = code
        if "other-issuer" in scope:
            back["iss"] = "https://evil.test"
        if "no-issuer" in scope:
            del back["iss"]
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def exchange(self, form: dict[str, str]) -> tuple[int, bytes]:
        code = self.codes.pop(form.get("code", ""), None)
        if form.get("client_id") != "me" or form.get("client_secret") != "client-hush":
            self.steps.append("client")
            return 401, b'{"error": "invalid_client"}'
        if code is None or code.redirect_uri != form.get("redirect_uri") or not self._verified(code, form):
            self.steps.append("refused")
            return 400, b'{"error": "invalid_grant"}'
        self.steps.append("exchanged")
        odd = {"broken": (503, b"{}"), "garbage": (200, b"\xff<html>"), "strange": (200, b'{"error": {"code": 1}}')}
        for word, answer in odd.items():
            if word in code.scope:
                return answer
        token = "two words" if "unusable" in code.scope else "granted-access"
        granted = {"access_token": token, "refresh_token": "granted-refresh", "expires_in": 3600, "scope": code.scope}
        return 200, json.dumps(granted).encode()

    def _verified(self, code: Code, form: dict[str, str]) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=") == code.challenge


class Handler(BaseHTTPRequestHandler):
    consents = Consents()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self.consents.lock:
            if parts.path == "/authorize":
                self._answer(302, b"", {"Location": self.consents.consent(_flat(parts.query))})
                return
            self._answer(200, json.dumps({"asked": self.consents.asked, "steps": self.consents.steps}).encode())

    def do_POST(self) -> None:
        form = _flat(self.rfile.read(int(self.headers.get("content-length", "0"))).decode())
        with self.consents.lock:
            self._answer(*self.consents.exchange(form))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Silent."""


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    sys.stdout.flush()
    server.serve_forever()
