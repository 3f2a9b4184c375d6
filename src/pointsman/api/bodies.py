"""Request bodies: bounded before anybody is asked who sends them, read whole, and scanned before a route sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Message, Receive

from pointsman.api.problems import BodyTooLarge, UnsupportedMediaType
from pointsman.api.scanning import scan
from pointsman.kit.problems import FieldError, InvalidRequest

# Above this a scan takes milliseconds, in which other requests should have their turns.
_SCANNED_IN_PLACE = 262_144


class ClientGone(Exception):  # noqa: N818 - it is no error of anybody
    """The client left before its request was complete."""


def refuse_declared(headers: Mapping[bytes, bytes], limit: int) -> None:
    """Refuse by `Content-Length` alone, before a byte of the body is taken."""
    declared = headers.get(b"content-length")
    if declared is not None and (not declared.isdigit() or len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)


async def read(receive: Receive, limit: int, hold: Callable[[int], None]) -> bytes:
    """The whole body; `hold` is told the bytes of each part before it is kept.

    Raises BodyTooLarge as soon as it is longer than `limit`, ClientGone when it ends early, and whatever `hold` raises. How long it
    may take is the server's to bound (`api.protocol`): a timer here would cost each request more than the reading.
    """
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        hold(len(part))
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_multipart(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body is a form whose parts may be files."""
    return headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")


def bounded(receive: Receive, limit: int) -> Receive:
    """A `receive` for whoever reads a body as it arrives. Raises BodyTooLarge past `limit` bytes, ClientGone when it ends early."""
    size = 0
    more = True

    async def next_part() -> Message:
        nonlocal size, more
        message = await receive()
        if more and message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
        return message

    return next_part


async def check_json(headers: Mapping[bytes, bytes], body: bytes, *, required: bool, depth: int) -> None:
    """Let a good JSON body pass, or none where none is needed."""
    if not body:
        if required:
            raise InvalidRequest("A JSON body is required.", errors=(FieldError("", "A JSON body is required."),))
        return
    _check_type(headers)
    if len(body) > _SCANNED_IN_PLACE:
        await asyncio.to_thread(scan, body, depth=depth)
    else:
        scan(body, depth=depth)


def given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what the client does next."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _check_type(headers: Mapping[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding != b"identity":
        raise UnsupportedMediaType("Compressed bodies are not read.", hint="Send the body without Content-Encoding.")
    media_type, *parameters = headers.get(b"content-type", b"").lower().split(b";")
    media_type = media_type.strip()
    if media_type != b"application/json" and not (media_type.startswith(b"application/") and media_type.endswith(b"+json")):
        named = media_type.decode("latin-1") or "no Content-Type"
        raise UnsupportedMediaType(f"The body came as {named}.", hint="Send JSON with `Content-Type: application/json`.")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b' "') not in {b"utf-8", b"utf8", b"us-ascii"}:
            raise UnsupportedMediaType("JSON is UTF-8.", hint="Leave the charset out.")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The largest body for this route has {limit} bytes.", limit_bytes=limit)
