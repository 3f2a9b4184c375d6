"""Reads an answer's body within a bound, which holds before and after unpacking."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from pointsman.kit.egress.errors import EgressFailed, EgressTooLarge

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 65_536
_PLAIN = frozenset(("", "identity"))
_PACKED = frozenset(("gzip", "x-gzip", "deflate"))
_GZIP_OR_ZLIB = 47


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The unpacked body. Raises EgressTooLarge as soon as more than `max_bytes` came or would come out, and EgressFailed."""
    packed = _is_packed(response, max_bytes)
    body = await _raw(response, max_bytes)
    return await asyncio.to_thread(_unpacked, body, max_bytes) if packed else body


async def stream_body(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """The same, piece by piece: what was given out before it raises is the beginning of something too large or broken."""
    packed = _is_packed(response, max_bytes)
    decoder = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    size = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        for piece in _pieces(lambda data: (decoder.decompress(data, _CHUNK), decoder.unconsumed_tail), chunk) if packed else [chunk]:
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            yield piece
    if packed and (not decoder.eof or decoder.unused_data):
        raise _not_unpacked()


def require_known_coding(response: aiohttp.ClientResponse) -> None:
    """Raises EgressFailed for a coding that cannot be unpacked here."""
    if not is_unpacked(_coding(response)):
        raise EgressFailed("The URL answered in a content coding that was not asked for.")


def is_unpacked(coding: str) -> bool:
    """Whether a body in this content coding, as its header says it, is given out as what it is."""
    return coding.strip().lower() in _PLAIN | _PACKED


def _is_packed(response: aiohttp.ClientResponse, max_bytes: int) -> bool:
    """Raises EgressFailed for another coding than was asked for, EgressTooLarge where the answer says that it is."""
    require_known_coding(response)
    if response.content_length is not None and response.content_length > max_bytes:
        raise _too_large(max_bytes)
    return _coding(response) in _PACKED


def _coding(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Encoding", "").strip().lower()


def _pieces(decompress: Callable[[bytes], tuple[bytes, bytes]], chunk: bytes) -> Iterator[bytes]:
    try:
        while chunk:
            piece, chunk = decompress(chunk)
            yield piece
    except zlib.error:
        raise _not_unpacked() from None


async def read_beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    """At most so many bytes of the body, unpacked where that can be done; the rest, and what follows damage, is left unread."""
    decoder = zlib.decompressobj(wbits=_GZIP_OR_ZLIB) if _coding(response) in _PACKED else None
    body = bytearray()
    while len(body) < most and (chunk := await response.content.read(most - len(body) if decoder is None else _CHUNK)):
        try:
            body += chunk if decoder is None else decoder.decompress(chunk, most - len(body))
        except zlib.error:
            break
    return bytes(body)


async def _raw(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    """Unpacking is bounded in memory, so that a small body which unpacks to gigabytes costs no more than an honest one."""
    decoder = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    try:
        plain = decoder.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _not_unpacked() from None
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not decoder.eof or decoder.unused_data:
        raise _not_unpacked()
    return plain


def _not_unpacked() -> EgressFailed:
    return EgressFailed("The URL's answer could not be unpacked.")


def _too_large(max_bytes: int) -> EgressTooLarge:
    return EgressTooLarge(f"The document is larger than {max_bytes} bytes.")
