"""References within a document, followed by its pointers; never to another document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote

from pointsman.tools.openapi.documents import refused

_LONGEST_CHAIN = 32


class Lookup:
    """Finds what `$ref`s of a document mean."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def object_at(self, node: Any, pointer: str) -> tuple[dict[str, Any], str]:
        """The object that a node is or refers to, and its own pointer. Raises OpenApiDocumentRefused."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(node, dict):
                raise refused(pointer, "An object belongs here.")
            found = cast("dict[str, Any]", node)
            reference = found.get("$ref")
            if reference is None:
                return found, pointer
            node, pointer = self.target(reference, pointer)
        raise refused(pointer, "This reference leads in a circle, or over too many others.")

    def target(self, reference: Any, pointer: str) -> tuple[Any, str]:
        """What a `$ref` at this place means, and its pointer. Raises OpenApiDocumentRefused."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            said = repr(str(reference)[:100])
            raise refused(f"{pointer}/$ref", f"{said} is no reference within the document.", hint="Bundle the documents into one.")
        node: Any = self._root
        for step in unquote(reference[2:]).split("/"):
            node = _step(node, step.replace("~1", "/").replace("~0", "~"))
            if node is None:
                raise refused(f"{pointer}/$ref", f"There is no {reference[:200]} in the document.")
        return node, reference[1:]


def _step(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return cast("dict[str, Any]", node).get(step)
    if isinstance(node, list) and step.isascii() and step.isdecimal() and len(step) < 7:
        items = cast("list[Any]", node)
        return items[int(step)] if int(step) < len(items) else None
    return None
