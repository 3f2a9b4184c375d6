"""Reads an answer's body within a bound, which holds before and after unpacking."""

from __future__ import annotations

import asyncio
import zlib
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
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _PLAIN | _PACKED:
        raise EgressFailed("The URL answered in a content coding that was not asked for.")
    if response.content_length is not None and response.content_length > max_bytes:
        raise _too_large(max_bytes)
    body = await _raw(response, max_bytes)
    return body if coding in _PLAIN else await asyncio.to_thread(_unpacked, body, max_bytes)


async def read_beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    """At most so many bytes as they came; the rest is left unread."""
    body = bytearray()
    while len(body) < most and (chunk := await response.content.read(most - len(body))):
        body += chunk
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
        raise EgressFailed("The URL's answer could not be unpacked.") from None
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not decoder.eof or decoder.unused_data:
        raise EgressFailed("The URL's answer could not be unpacked.")
    return plain


def _too_large(max_bytes: int) -> EgressTooLarge:
    return EgressTooLarge(f"The document is larger than {max_bytes} bytes.")
