"""JSON Schema as data from users: compiled without network and with a linear-time regex engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema_rs

from pointsman.kit.problems import FieldError

_LONGEST = 300  # characters of a message: it quotes the instance, which may be megabytes


class SchemaInvalidError(ValueError):
    """This is no usable JSON Schema; the text says why."""


class JsonSchema:
    """A compiled schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile it. Raises SchemaInvalidError; a remote `$ref` is never fetched."""
        try:
            self._validator = jsonschema_rs.validator_for(
                dict(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise SchemaInvalidError(str(getattr(error, "message", None) or error)) from None

    def errors(self, instance: Any, most: int = 10) -> tuple[FieldError, ...]:
        """What is wrong with the instance, nothing if it is valid."""
        found: list[FieldError] = []
        for error in self._validator.iter_errors(instance):
            found.append(FieldError(_pointer(error.instance_path), _bounded(error.message)))
            if len(found) == most:
                break
        return tuple(found)


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _bounded(message: str) -> str:
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST // 2]} […] {message[-_LONGEST // 2 :]}"
