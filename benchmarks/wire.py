"""The load generator's HTTP/1.1 client: one connection, one request at a time, no more work per request than a parser in C."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

import httptools


class Load(Protocol):
    """What hears of answers."""

    def first(self, connection: Connection) -> None:
        """The mark was seen for the first time in this answer."""

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """The whole answer is here."""

    def lost(self, connection: Connection) -> None:
        """The server hung up."""


class Connection(asyncio.Protocol):
    """A keep-alive connection that is asked again by whoever is told of the answer."""

    def __init__(self, load: Load, mark: bytes) -> None:
        self.load = load
        self.mark = mark
        self.began = 0.0
        self.busy = False
        self.marked = False
        self.pieces: list[bytes] = []
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class, without that base

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.transport = None
        self.load.lost(self)

    def ask(self, payload: bytes) -> bool:
        """Send a request; False if the server has hung up."""
        self.busy = True
        if self.transport is None:
            return False
        self.pieces, self.marked = [], not self.mark
        self.began = time.perf_counter()
        self.transport.write(payload)
        return True

    def close(self) -> None:
        if self.transport:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    # --- called by the parser

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        if not self.marked and self.mark in body:
            self.marked = True
            self.load.first(self)

    def on_message_complete(self) -> None:
        self.busy = False
        self.load.answered(self, self.parser.get_status_code(), b"".join(self.pieces))
