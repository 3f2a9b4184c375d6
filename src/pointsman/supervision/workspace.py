"""The files that a request's jobs begin with: one attachment of the request that is a tar archive."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
from typing import NamedTuple

import msgspec

from pointsman.chat.schemas import Attachment, ChatRequest
from pointsman.kit.problems import FieldError
from pointsman.supervision.errors import WorkspaceInvalid

MEDIA_TYPES = frozenset({"application/x-tar", "application/tar"})
_MOST = 10 * 1024 * 1024


class Parted(NamedTuple):
    """A request without its workspace, which is for the jobs and not for the leader's model, and the workspace."""

    request: ChatRequest
    workspace: bytes | None


def part(request: ChatRequest) -> Parted:
    """Take the workspace out of a request. Raises WorkspaceInvalid."""
    places = [place for place, attachment in enumerate(request.attachments) if attachment.media_type in MEDIA_TYPES]
    if not places:
        return Parted(request, None)
    if len(places) > 1:
        raise _bad(places[1], "A request has one workspace.")
    place = places[0]
    rest = tuple(attachment for number, attachment in enumerate(request.attachments) if number != place)
    return Parted(msgspec.structs.replace(request, attachments=rest), _archive(place, request.attachments[place]))


def _archive(place: int, attachment: Attachment) -> bytes:
    if attachment.data is None:
        raise _bad(place, "A workspace comes in `data`, not by URL.")
    try:
        data = base64.b64decode(attachment.data, validate=True)
    except (binascii.Error, ValueError):
        raise _bad(place, "The data is not base64.") from None
    if len(data) > _MOST:
        raise _bad(place, f"A workspace has at most {_MOST} bytes.")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            count = len(archive.getmembers())
    except (tarfile.TarError, ValueError, OverflowError, EOFError):
        raise _bad(place, "The data is no tar archive (without compression).") from None
    if not count:
        raise _bad(place, "The archive is empty.")
    return data


def _bad(place: int, message: str) -> WorkspaceInvalid:
    return WorkspaceInvalid(message, errors=(FieldError(f"/attachments/{place}", message),))
