"""An API that answers as a test says, and remembers what it was asked; and a registration of tools at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet
from pydantic import SecretStr

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.use_log import UseLog
from pointsman.credentials.using import CredentialUse
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.tools.references import References

HOST = "127.0.0.2"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only header of that name."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, found
        return found[0] if found else None


@dataclass
class FakeApi:
    """One answer for everything, until it is changed."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b'{"ok":true}'
    silent: bool = False
    asked: list[Asked] = field(default_factory=list[Asked])

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def answer(self, body: object = None, *, status: int = 200, **headers: str) -> None:
        """What is answered from now on: bytes as they are, anything else as JSON."""
        self.status = status
        self.body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await _read(reader))
            if self.silent:
                await reader.read()
                return
            head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            writer.write(f"HTTP/1.1 {self.status} X\r\n{head}Content-Length: {len(self.body)}\r\n\r\n".encode("latin-1") + self.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Asked(method, target, headers, await reader.readexactly(length))


@asynccontextmanager
async def answering() -> AsyncGenerator[FakeApi]:
    """One at an address that stands for the internet."""
    api = FakeApi()
    server = await asyncio.start_server(api.serve, HOST, 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()


@asynccontextmanager
async def referring(db: Database, secrets: Mapping[str, str] | None = None) -> AsyncGenerator[References]:
    """What fills headers, with these secrets of an operator's; nobody is connected to anything."""
    ring, providers, api = KeyRing([Fernet.generate_key().decode()]), Providers({}), ProviderApi()
    use = CredentialUse(Refresher(db, ring, providers, api), ring, providers, None, UseLog(db).note)
    try:
        yield References(use, {name: SecretStr(value) for name, value in (secrets or {}).items()})
    finally:
        await api.aclose()


def pets_at(url: str, **changes: Any) -> dict[str, Any]:
    """A document of pets that are kept there."""
    text: dict[str, Any] = {"schema": {"type": "string"}}
    one = {"name": "petId", "in": "path", "required": True, **text}
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object", "required": ["name"]}}}}
    return {
        "openapi": "3.1.0",
        "servers": [{"url": url}],
        "paths": {
            "/pets": {
                "get": {"operationId": "listPets", "summary": "All pets.", "parameters": [{"name": "q", "in": "query", **text}]},
                "post": {"operationId": "addPet", "summary": "Add a pet.", "requestBody": body},
            },
            "/pets/{petId}": {
                "get": {"operationId": "getPet", "parameters": [one, {"name": "X-Trace", "in": "header", **text}]},
                "put": {"operationId": "putPet", "parameters": [one], "requestBody": body},
            },
        },
    } | changes


OPERATIONS = ["listPets", "addPet", "getPet", "putPet"]
