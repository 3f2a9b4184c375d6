"""A network as operators have it: a provider whose certificate a private authority signed, and a proxy that asks for a password."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WORD = "let:me in"  # what the proxy wants to hear, colon and space included
_ALLOWED = b"proxy-authorization: basic " + base64.b64encode(b"user:" + WORD.encode()).lower()


class PrivateNetwork:
    """`tls` and `proxy` are ports; `asked` has the first line of each request that the proxy saw."""

    def __init__(self, upstream: int, folder: Path) -> None:
        self.ca_file = folder / "authority.pem"
        self.asked: list[str] = []
        self.tls = self.proxy = 0
        self._upstream = upstream
        self._servers: list[asyncio.Server] = []
        self._open: list[asyncio.StreamWriter] = []
        self._certificate = folder / "server.pem"
        _sign(self.ca_file, self._certificate)

    async def serve(self) -> None:
        """Open both ports."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate)
        tls = await asyncio.start_server(self._terminate, "127.0.0.1", 0, ssl=context)
        proxy = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.tls, self.proxy = (server.sockets[0].getsockname()[1] for server in (tls, proxy))
        self._servers = [tls, proxy]

    async def end(self) -> None:
        """Close whatever is open."""
        for server in self._servers:
            server.close()
        for writer in self._open:
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(tasks, timeout=5) if tasks else None
        await asyncio.sleep(0.02)

    async def _terminate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join(reader, writer, self._upstream, b"")

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            self._open.append(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            first = head.split(b"\r\n")[0].decode()
            self.asked.append(first)
            if _ALLOWED not in head.lower():
                writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()
            elif first.startswith("CONNECT "):
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await self._join(reader, writer, int(first.split()[1].rpartition(":")[2]), b"")
            else:
                await self._join(reader, writer, self._upstream, head)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, head: bytes) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        self._open += [writer, upstream_writer]
        upstream_writer.write(head)
        await asyncio.gather(_pipe(reader, upstream_writer), _pipe(upstream_reader, writer))


@contextmanager
def private_network(upstream: int, folder: Path) -> Generator[PrivateNetwork]:
    """Serve in a thread of its own."""
    network, loop = PrivateNetwork(upstream, folder), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(network.serve(), loop).result(10)
        yield network
    finally:
        asyncio.run_coroutine_threadsafe(network.end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()


def _sign(ca_file: Path, server_file: Path) -> None:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Private authority")])
    now = datetime.now(UTC)

    def certificate(name: x509.Name, public: ec.EllipticCurvePublicKey, *, signs: bool) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder(
            authority, name, public, x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1)
        )
        return made.add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)

    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    of_authority = certificate(authority, authority_key.public_key(), signs=True).sign(authority_key, hashes.SHA256())
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Provider")])
    of_server = certificate(server, key.public_key(), signs=False).add_extension(names, critical=False).sign(authority_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(of_authority.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server_file.write_bytes(private + of_server.public_bytes(pem))
