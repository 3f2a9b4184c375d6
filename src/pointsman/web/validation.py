"""How pydantic's complaints become `errors[]`: JSON pointers, plain sentences, and the field that was probably meant."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic

from pointsman.kit.problems import FieldError, InvalidRequest

MAX_ERRORS = 50


def invalid_request(errors: Iterable[Mapping[str, Any]], model: Any = None) -> InvalidRequest:
    """The problem for `ValidationError.errors()` of pydantic, or FastAPI's with `body` or `query` leading each place.

    `model` is the type the body was read as; with it an unknown field gets a suggestion. Values are never repeated.
    """
    found = tuple(_field_error(error, model) for error in errors)[:MAX_ERRORS]
    detail = found[0].message if len(found) == 1 else f"{len(found)} things are wrong with the request."
    return InvalidRequest(detail, errors=found)


def pointer(location: Sequence[int | str]) -> str:
    """The RFC 6901 JSON pointer of a place in a body."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _field_error(error: Mapping[str, Any], model: Any) -> FieldError:
    where = list(error["loc"])
    if where and where[0] == "body":
        where = where[1:]
    sentence = _sentence(error, where, model)
    place = _untagged(where, model, error["type"])
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append(_discriminator(error))
    return FieldError(pointer(place), sentence)


def _untagged(where: list[int | str], model: Any, kind: str) -> list[int | str]:
    """The place without the tags that say which member of a union an item of a list was read as: they are no step into the body."""
    place: list[int | str] = []
    models = _models(model)
    for index, part in enumerate(where):
        deeper = [step for one in models for step in _step(one, part)]
        is_field = any(part in {name, field.alias} for one in models for name, field in one.model_fields.items())
        is_last = index == len(where) - 1
        if not is_field and len(models) > 1 and index and isinstance(where[index - 1], int) and not (is_last and kind == "extra_forbidden"):
            continue
        place.append(part)
        models = deeper or models
    return place


def _discriminator(error: Mapping[str, Any]) -> str:
    return str(error["ctx"]["discriminator"]).strip("'")


def _sentence(error: Mapping[str, Any], where: list[int | str], model: Any) -> str:
    name = str(where[-1]) if where else ""
    match error["type"]:
        case "missing":
            return f"Field {name!r} is required." if name else "A JSON body is required."
        case "extra_forbidden":
            close = difflib.get_close_matches(name, _names(model, where[:-1]), n=1)
            return f"Unknown field {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")
        case "union_tag_not_found":
            return f"Field {_discriminator(error)!r} is required."
        case "union_tag_invalid":
            tags = [tag.strip("'") for tag in str(error["ctx"]["expected_tags"]).split(", ")]
            close = difflib.get_close_matches(str(error["ctx"]["tag"]), tags, n=1)
            return f"It is one of {', '.join(tags)}." + (f" Did you mean {close[0]!r}?" if close else "")
        case _:
            message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return message if message.endswith((".", "?", "!")) else message + "."


def _names(kind: Any, where: Sequence[int | str]) -> list[str]:
    """The fields that the object at `where` may have, as far as the types tell."""
    models = _models(kind)
    for part in where:
        # A part may also be the tag of a union's member, which is no step into the body.
        deeper = [step for model in models for step in _step(model, part)]
        models = deeper or models
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _step(model: type[pydantic.BaseModel], part: int | str) -> list[type[pydantic.BaseModel]]:
    for name, field in model.model_fields.items():
        if part in {name, field.alias}:
            return _models(field.annotation)
    return []


def _models(kind: Any) -> list[type[pydantic.BaseModel]]:
    """The models inside of an annotation: of a union, a list or a mapping."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel) and get_origin(kind) is None:
        return [kind]
    origin = get_origin(kind)
    if origin is Annotated:
        return _models(get_args(kind)[0])
    if origin in {Union, types.UnionType, list, tuple, dict}:
        return [model for inner in get_args(kind) for model in _models(inner)]
    return []
