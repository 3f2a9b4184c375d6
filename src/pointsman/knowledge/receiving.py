"""From an upload's parts to what is said about the file; the file itself goes to the object store as it arrives."""

from __future__ import annotations

import difflib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

from pointsman.kit import json_text
from pointsman.knowledge.errors import UploadInvalid
from pointsman.knowledge.multipart import MultipartReader, Part, invalid
from pointsman.knowledge.objects import Stored
from pointsman.knowledge.rows import Given

Keep = Callable[[AsyncIterator[bytes]], Awaitable[Stored]]
_FIELDS = ("file", "file_type", "metadata", "file_id")
_LARGEST_METADATA = 16_384
_DEEPEST = 16
_LONGEST_NAME = 500
_LONGEST_TYPE = 200


async def receive(reader: MultipartReader, collection_id: str | None, keep: Keep) -> tuple[Given, Stored]:
    """What was said, and what was kept. Raises UploadInvalid, UploadMalformed, and what `keep` raises."""
    fields: dict[str, str] = {}
    stored: Stored | None = None
    head = Part("file", None, None)
    while (part := await reader.next_part()) is not None:
        _require_known(part.name, fields, has_file=stored is not None)
        if part.name == "file":
            if part.filename is None:
                raise invalid("file", "The part `file` has no filename; send it as a file, not as a field.")
            head, stored = part, await keep(reader.data())
        else:
            fields[part.name] = await reader.text(part.name)
    if stored is None:
        raise invalid("file", "The part `file` is missing.")
    return given_of(fields, filename=head.filename or "", content_type=head.content_type, collection_id=collection_id), stored


def given_of(fields: Mapping[str, Any], *, filename: str, content_type: str | None, collection_id: str | None) -> Given:
    """What was said about a file. Raises UploadInvalid."""
    file_type = fields.get("file_type", "company")
    if file_type not in {"company", "project"}:
        raise invalid("file_type", "file_type is company or project.")
    if file_type == "project" and collection_id is None:
        raise invalid("file_type", "A project's file needs a collection: POST /v2/knowledge/{tenant_id}/{collection_id}/files.")
    if content_type is not None and (len(content_type) > _LONGEST_TYPE or not content_type.isprintable()):
        content_type = None
    file_id = fields.get("file_id")
    return Given(
        filename=_plain_name(filename),
        file_type=file_type,
        content_type=content_type,
        metadata=stored_metadata(fields.get("metadata", {}), "metadata"),
        collection_id=collection_id,
        file_id=None if file_id is None else _uuid(file_id),
    )


def stored_metadata(value: Any, name: str) -> str:
    """Metadata as JSON text that the database takes. Raises UploadInvalid."""
    if isinstance(value, str):
        try:
            value = json_text.decode(value)
        except (ValueError, RecursionError):
            raise invalid(name, 'This is not JSON, such as {"team": "sales"}.') from None
    if not isinstance(value, dict):
        raise invalid(name, 'This is a JSON object, such as {"team": "sales"}.')
    _require_storable(value, name, _DEEPEST)
    text = json_text.encode(cast("dict[str, Any]", value))
    if len(text) > _LARGEST_METADATA:
        raise invalid(name, f"This has at most {_LARGEST_METADATA} characters.")
    return text


def _require_storable(value: Any, name: str, depth: int) -> None:
    if depth == 0:
        raise invalid(name, f"This is nested more than {_DEEPEST} deep.")
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise invalid(name, "This holds a NUL or half of a character, which no text in the database can.")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > 1e300:
            raise invalid(name, "A number is too large.")
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _require_storable(item, name, depth - 1)
    else:
        for key, item in cast("dict[str, Any]", value).items():
            _require_storable(key, name, depth)
            _require_storable(item, name, depth - 1)


def _require_known(name: str, fields: Mapping[str, str], *, has_file: bool) -> None:
    if name not in _FIELDS:
        close = difflib.get_close_matches(name, _FIELDS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(_FIELDS)}."
        raise UploadInvalid(f"There is no part of the name that was sent. {hint}")
    if name in fields or (name == "file" and has_file):
        raise invalid(name, "This part is given twice.")


def _plain_name(filename: str) -> str:
    """The last component: some clients send a path, and none of it is ours to follow."""
    name = "".join(character for character in filename.replace("\\", "/").rpartition("/")[2] if character.isprintable()).strip()
    if name in {"", ".", ".."}:
        raise invalid("file", "The file has no name.")
    if len(name) > _LONGEST_NAME:
        raise invalid("file", f"The file's name has at most {_LONGEST_NAME} characters.")
    return name


def _uuid(text: Any) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError:
        raise invalid("file_id", "file_id is a UUID; leave it out to get a new one.") from None
