"""Chosen operations of a document made into tools: once, when they are written, so that a call only fills in what is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pointsman.kit import json_text
from pointsman.kit.json_schema import JsonSchema, SchemaInvalidError
from pointsman.kit.problems import FieldError
from pointsman.tools.naming import model_name
from pointsman.tools.openapi.documents import Document, escaped, refused
from pointsman.tools.openapi.errors import OpenApiDocumentRefused
from pointsman.tools.openapi.json_schemas import Schemas
from pointsman.tools.openapi.lookup import Lookup
from pointsman.tools.openapi.parameters import Arguments, read_parameters
from pointsman.tools.openapi.rows import Compiled, Operation
from pointsman.tools.openapi.servers import server_of
from pointsman.tools.openapi.suggesting import closest

BODY = "body"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_WITHOUT_BODY = frozenset(("get", "head", "options"))
_LONGEST_DESCRIPTION = 1024  # what providers take
_LARGEST_SCHEMA = 65_536  # bytes: it is sent with every question to the model
_LARGEST_OF_ALL = 524_288
_MOST_LISTED = 30


@dataclass(frozen=True, slots=True)
class _Found:
    """An operation in the document; `item` is the path item around it."""

    method: str
    path: str
    item: dict[str, Any]
    item_pointer: str
    node: dict[str, Any]
    pointer: str


def compile_tools(
    document: Document, *, source_id: str, chosen: Sequence[str], server_url: str | None, headers: Collection[str]
) -> Compiled:
    """The chosen operations as tools of `source_id`; `headers` are the names that the registration itself sends.

    An operation is chosen by its operationId or, where it has none, as `GET /path`. Raises OpenApiDocumentRefused with all that is wrong.
    """
    compiler = _Compiler(document, source_id, frozenset(name.lower() for name in headers))
    known = _by_name(compiler.list_operations())
    operations: list[Operation] = []
    errors: list[FieldError] = []
    server = server_url or ""
    try:
        server = server_of(document.root, server_url)
        for index, name in enumerate(chosen):
            try:
                operations.append(compiler.compile(name, _choose(known, name, index), own_server=server_url is not None))
            except OpenApiDocumentRefused as problem:
                errors += problem.errors
    except OpenApiDocumentRefused as problem:
        errors += problem.errors
    if not errors and sum(len(json_text.encode(one.schema)) for one in operations) > _LARGEST_OF_ALL:
        errors.append(FieldError("/operations", f"The schemas of all tools are larger than {_LARGEST_OF_ALL} bytes. Choose fewer."))
    if errors:
        raise OpenApiDocumentRefused(errors[0].message, hint=_known_hint(known), errors=tuple(errors))
    return Compiled(server, tuple(operations), tuple(compiler.notes))


class _Compiler:
    def __init__(self, document: Document, source_id: str, headers: frozenset[str]) -> None:
        self._root = document.root
        self._source_id = source_id
        self._headers = headers
        self._lookup = Lookup(document.root)
        self._schemas = Schemas(document, self._lookup)
        self.notes = self._schemas.notes

    def list_operations(self) -> Iterator[_Found]:
        paths = self._root.get("paths", {})
        for path, node in self._lookup.object_at(paths, "/paths")[0].items():
            if not path.startswith("/"):
                continue
            item, pointer = self._lookup.object_at(node, f"/paths/{escaped(path)}")
            for method in _METHODS:
                if isinstance(operation := item.get(method), dict):
                    yield _Found(method, path, item, pointer, cast("dict[str, Any]", operation), f"{pointer}/{method}")

    def compile(self, name: str, found: _Found, *, own_server: bool) -> Operation:
        if not own_server and ("servers" in found.node or "servers" in found.item):
            raise refused(f"{found.pointer}/servers", f"{name} has servers of its own.", hint="Give server_url.")
        takes = read_parameters(
            self._lookup, self._schemas, [(found.item, found.item_pointer), (found.node, found.pointer)], found.path, self._headers
        )
        self._note(name, takes)
        media = self._add_body(name, found, takes)
        return Operation(
            operation=name,
            tool=model_name(self._source_id, name),
            description=_description(found),
            method=found.method.upper(),
            path=found.path,
            schema=_checked(takes.schema(), found.pointer),
            parameters=tuple(takes.parameters),
            media=media,
        )

    def _add_body(self, name: str, found: _Found, takes: Arguments) -> str | None:
        """Add the argument `body` where the operation takes one in JSON; its media type."""
        if found.node.get("requestBody") is None:
            return None
        body, pointer = self._lookup.object_at(found.node["requestBody"], f"{found.pointer}/requestBody")
        content, where = self._lookup.object_at(body.get("content", {}), f"{pointer}/content")
        media = next((kind for kind in content if _is_json(kind)), None)
        if found.method in _WITHOUT_BODY or media is None:
            if body.get("required") is True:
                raise refused(pointer, f"{name} needs a body other than JSON ({', '.join(content) or 'none'}), or one where HTTP has none.")
            self.notes[f"{name}: the optional body is left out, since only JSON is sent, and not with {found.method.upper()}."] = None
            return None
        described, place = self._lookup.object_at(content[media], f"{where}/{escaped(media)}")
        schema = self._schemas.read(described.get("schema", {}), f"{place}/schema")
        takes.add(BODY, schema, body.get("description"), required=body.get("required") is True)
        return media.partition(";")[0].strip()

    def _note(self, name: str, takes: Arguments) -> None:
        self.notes.update(dict.fromkeys(f"{name}: {note}" for note in takes.notes))


def _by_name(found: Iterator[_Found]) -> dict[str, list[_Found]]:
    known: dict[str, list[_Found]] = {}
    for one in found:
        named: Any = one.node.get("operationId")
        known.setdefault(named if isinstance(named, str) and named else f"{one.method.upper()} {one.path}", []).append(one)
    return known


def _choose(known: Mapping[str, list[_Found]], name: str, index: int) -> _Found:
    found = known.get(name, [])
    if len(found) == 1:
        return found[0]
    said = f"{len(found)} operations of the document are called {name}." if found else f"The document has no operation {name[:200]}."
    message = said if found else f"{said}{closest(name, known)}"
    raise OpenApiDocumentRefused(message, errors=(FieldError(f"/operations/{index}", message),))


def _known_hint(known: Collection[str]) -> str:
    names = sorted(known)
    more = f" and {len(names) - _MOST_LISTED} others" if len(names) > _MOST_LISTED else ""
    return f"The document's operations: {', '.join(names[:_MOST_LISTED]) or 'none'}{more}."


def _description(found: _Found) -> str:
    parts = [found.node.get("summary"), found.node.get("description")]
    said = "\n".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
    return said[:_LONGEST_DESCRIPTION] or f"{found.method.upper()} {found.path}"


def _checked(schema: dict[str, Any], pointer: str) -> dict[str, Any]:
    if len(json_text.encode(schema).encode()) > _LARGEST_SCHEMA:
        raise refused(pointer, f"The schema of its arguments is larger than {_LARGEST_SCHEMA} bytes.", hint="Choose another operation.")
    try:
        JsonSchema(schema)
    except SchemaInvalidError as error:
        raise refused(pointer, f"The schema of its arguments is not valid: {str(error)[:300]}.") from None
    return schema


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
