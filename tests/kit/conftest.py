from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.access.access_scene import Line

from pointsman.kit.egress import Egress

PUBLIC, INTERNAL = "127.0.0.2", "127.0.0.1"


@dataclass
class Listener:
    """A server of canned answers by path that remembers every byte it got."""

    host: str
    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    connections: int = 0
    requests: list[str] = field(default_factory=list[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            answer = self.answers.get(head.split(" ")[1].partition("?")[0], answer_with(b"hello", "text/plain"))
            if answer == b"silence":
                await reader.read()
                return
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answer_with(body: bytes, media_type: str, *, status: int = 200, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1") + body


def redirect_to(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def listening(listener: Listener, tls: SSLContext | None = None) -> AsyncGenerator[Listener]:
    server = await asyncio.start_server(listener.serve, listener.host, listener.port, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


@dataclass
class Names:
    """A resolver whose answers a test writes: per name a list of answers, of which the last one stays."""

    known: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list[str])

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answers = self.known.get(host, [()])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def close(self) -> None:
        return None


@dataclass
class Net:
    """The internet at one loopback address and the internal network at others, all on one port."""

    public: Listener
    internal: list[Listener]
    names: Names

    @property
    def port(self) -> int:
        return self.public.port

    @property
    def reached(self) -> int:
        return sum(listener.connections for listener in self.internal)

    def answer(self, path: str, body: bytes, media_type: str = "text/plain", *, status: int = 200, headers: str = "") -> None:
        self.public.answers[path] = answer_with(body, media_type, status=status, headers=headers)

    def redirect(self, path: str, location: str, status: int = 302) -> None:
        self.public.answers[path] = redirect_to(location, status)

    @asynccontextmanager
    async def listening_with_tls(self, context: SSLContext) -> AsyncGenerator[Listener]:
        async with listening(Listener(PUBLIC), context) as listener:
            yield listener

    @asynccontextmanager
    async def egress(self, *allow: str, **options: Any) -> AsyncGenerator[Egress]:
        """Egress for which the loopback address that stands for the internet is the only one that it may reach."""
        egress = Egress([PUBLIC, *allow], resolver=self.names, **options)
        try:
            yield egress
        finally:
            await egress.aclose()


@pytest.fixture
async def net() -> AsyncGenerator[Net]:
    async with opened_net() as net:
        yield net


@asynccontextmanager
async def opened_net() -> AsyncGenerator[Net]:
    names = Names({"public.test": [[PUBLIC]], "internal.test": [[INTERNAL]]})
    stack, (public, *internal) = await on_one_port((PUBLIC, INTERNAL, "127.0.0.3", "::1"))
    async with stack:
        yield Net(public, internal, names)


async def on_one_port(hosts: Sequence[str], tls: SSLContext | None = None) -> tuple[AsyncExitStack, list[Listener]]:
    """A listener for each host, the first with TLS if so told; a port that is free there may be taken at another, by others' tests."""
    for _ in range(20):
        stack, listeners = AsyncExitStack(), list[Listener]()
        try:
            for host in hosts:
                port = listeners[0].port if listeners else 0
                listeners.append(await stack.enter_async_context(listening(Listener(host, port), None if listeners else tls)))
        except OSError:
            await stack.aclose()
        else:
            return stack, listeners
    raise RuntimeError("no port is free at all of these addresses")


@pytest.fixture
async def line(dsn: str, tmp_path: Path) -> AsyncGenerator[Line]:
    """A way to the test's database that can be cut and held up."""
    line = Line(dsn, tmp_path)
    await line.mend()
    yield line
    await line.cut()


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of that name needs, and what a client needs to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return server, client
