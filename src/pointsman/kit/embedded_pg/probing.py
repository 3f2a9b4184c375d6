"""Asks a Unix socket whether a PostgreSQL server answers there, without logging in."""

from __future__ import annotations

import enum
import os
import socket
import struct
from contextlib import closing
from pathlib import Path

USER = "pm"
DATABASE = "pointsman"

_PROTOCOL_3 = 196608
_STARTING_OR_STOPPING = b"C57P03\0"  # field C of an error: SQLSTATE cannot_connect_now


class Answer(enum.Enum):
    """What the socket said."""

    READY = "ready"
    NOT_YET = "not yet"  # a server is there; it starts, recovers, stops or is too busy to say
    NOBODY = "nobody"


def probe(path: Path, timeout: float = 1.0) -> Answer:
    """Connect and read the first answer; `timeout` in seconds."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:  # noqa: TID251 - two packets on a local socket
        connection.settimeout(timeout)
        try:
            connection.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return Answer.NOBODY
        except (TimeoutError, BlockingIOError):
            return Answer.NOT_YET
        try:
            connection.sendall(_startup_packet())
            return _read(connection.recv(4096))
        except (TimeoutError, ConnectionError):
            return Answer.NOT_YET


def _startup_packet() -> bytes:
    body = struct.pack("!i", _PROTOCOL_3) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def _read(answer: bytes) -> Answer:
    if not answer or _STARTING_OR_STOPPING in answer:
        return Answer.NOT_YET
    return Answer.READY  # a request to authenticate, or an error that only a running server gives
