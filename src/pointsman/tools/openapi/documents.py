"""OpenAPI documents as they come, JSON or YAML, read within bounds into one canonical form whose hash they are known by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pointsman.kit import json_text
from pointsman.kit.problems import FieldError
from pointsman.tools.openapi.errors import OpenApiDocumentRefused

LARGEST = 4 * 2**20  # bytes
_LARGEST_YAML = 2 * 2**20  # its reader keeps the process from everything else for a second or so
_DEEPEST = 100
_MOST_VALUES = 500_000
_VERSIONS = ("3.0", "3.1")


@dataclass(frozen=True, slots=True)
class Document:
    """A document: `text` is its canonical JSON, `sha256` the hash of that in hex."""

    root: dict[str, Any]
    text: str
    sha256: str

    @property
    def is_31(self) -> bool:
        """Whether its schemas are JSON Schema as it is, not the dialect of OpenAPI 3.0."""
        return str(self.root["openapi"]).startswith("3.1")


def read_document(given: str | Mapping[str, Any]) -> Document:
    """Read what was sent: an object, or a text in JSON or YAML. Raises OpenApiDocumentRefused."""
    root: Any = _parsed(given) if isinstance(given, str) else dict(given)
    if not isinstance(root, dict):
        raise refused("", "The document is no object.")
    document = cast("dict[str, Any]", _Plain().read(root))
    text = json_text.encode(document)
    if len(text.encode()) > LARGEST:
        raise refused("", f"The document is larger than {LARGEST} bytes.")
    _check_version(document)
    return Document(document, text, hashlib.sha256(text.encode()).hexdigest())


def stored_document(text: str, sha256: str) -> Document:
    """One that was read before."""
    return Document(json_text.decode(text), text, sha256)


def refused(pointer: str, message: str, *, hint: str = "") -> OpenApiDocumentRefused:
    """The problem with one place of the document."""
    return OpenApiDocumentRefused(message, hint=hint, errors=(FieldError(f"/document{pointer}", message),))


def _parsed(text: str) -> Any:
    if len(text) > LARGEST:
        raise refused("", f"The document is larger than {LARGEST} bytes.")
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        try:
            return json.loads(text.lstrip("\ufeff"))
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:
            raise refused("", f"The document is no JSON: {error}.") from None
    return _parsed_yaml(text)


def _parsed_yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415 - the start need not wait for it

    if len(text) > _LARGEST_YAML:
        raise refused("", f"The document is larger than {_LARGEST_YAML} bytes, which is the most in YAML.", hint="Convert it to JSON.")

    # libyaml's reader is fifteen times as fast, and some builds lack it.
    fast: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(fast):
        """Without dates, which JSON does not have: they stay the texts that they are."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own hook
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in fast.yaml_implicit_resolvers.items()
        }

    try:
        _look_ahead(yaml.parse(text, Loader=Loader), yaml)  # pyright: ignore[reportUnknownMemberType] - untyped
        return yaml.load(text, Loader=Loader)  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise refused("", f"The document is neither JSON nor YAML: {said}.", hint="Send one object in JSON or YAML.") from None


def _look_ahead(events: Any, yaml: Any) -> None:
    """Before anything is built: few lines of YAML can stand for gigabytes, by aliases, or for more depth than a stack has."""
    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            raise refused("", "The document uses aliases of YAML (*name).", hint="Write a $ref to #/components instead.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _too_deep()
        if count > 2 * _MOST_VALUES:
            raise _too_many()


class _Plain:
    """Reads values as JSON whose texts can be kept. Raises OpenApiDocumentRefused."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, value: Any, depth: int = 1, pointer: str = "") -> Any:
        self._count += 1
        if depth > _DEEPEST:
            raise _too_deep()
        if self._count > _MOST_VALUES:
            raise _too_many()
        if isinstance(value, dict):
            items = cast("dict[Any, Any]", value)
            return {_key(key, pointer): self.read(item, depth + 1, f"{pointer}/{escaped(str(key))}") for key, item in items.items()}
        if isinstance(value, list):
            return [self.read(item, depth + 1, f"{pointer}/{index}") for index, item in enumerate(cast("list[Any]", value))]
        return _scalar(value, pointer)


def _scalar(value: Any, pointer: str) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, pointer)
        case int() if abs(value) < 2**63:
            return value
        case float() if math.isfinite(value):
            return value
        case int() | float():
            raise refused(pointer, "This number is none that is taken.")
        case _:
            raise refused(pointer, f"JSON has no values such as this ({type(value).__name__}).")


def _key(key: Any, pointer: str) -> str:
    # YAML reads the keys of responses, 200, as numbers, and "on" and "no" as truths.
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise refused(pointer, f"The name {str(key)[:80]!r} is no text. Put it in quotation marks.")
    return _text(str(key), pointer)


def _text(text: str, pointer: str) -> str:
    if "\0" in text:
        raise refused(pointer, "A text holds NUL, which cannot be kept.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refused(pointer, "A text holds half a surrogate pair, which cannot be kept.") from None
    return text


def escaped(part: str) -> str:
    """A name as a step of a JSON pointer."""
    return part.replace("~", "~0").replace("/", "~1")


def _check_version(document: dict[str, Any]) -> None:
    version = document.get("openapi")
    if isinstance(version, str) and version.startswith(tuple(f"{known}." for known in _VERSIONS)):
        return
    if "swagger" in document:
        raise refused("/swagger", "The document is of Swagger 2.0.", hint="Convert it to OpenAPI 3: most API tools export both.")
    said = repr(str(version)[:20]) if version is not None else "missing"
    hint = "Put the version in quotation marks." if isinstance(version, float) else ""
    raise refused("/openapi", f"The version of OpenAPI is {said}; 3.0.x and 3.1.x are read.", hint=hint)


def _too_deep() -> OpenApiDocumentRefused:
    return refused("", f"The document is nested more than {_DEEPEST} levels deep.")


def _too_many() -> OpenApiDocumentRefused:
    return refused("", f"The document holds more than {_MOST_VALUES} values.")
