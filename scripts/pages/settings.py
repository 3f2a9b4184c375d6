"""The page of settings: every variable with its type, default and description."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pages.markdown import code, docstring, page, table
from pointsman.settings import PREFIX, Settings, variable_names

TITLES = {"mcp": "MCP servers"}
HEAD = ("Variable", "Type", "Default", "What it does")
INTRODUCTION = """
Settings are environment variables, read once when a process starts. A double underscore stands between two levels.
A `POINTSMAN_` name that does not exist is refused with the nearest one that does, so that a typo never silently loses a setting.
Values of secrets never appear in logs, errors or `pointsman doctor`.

Durations are written as seconds (`30`, `0.5`), as days (`30d`), as ISO 8601 (`PT15M`) or as `HH:MM:SS`; the defaults below are in seconds.
Lists are JSON arrays (`["10.0.0.0/8"]`).
"""
CLIENT = """
The command line, when it talks to a running gateway, reads two variables of its own: `POINTSMAN_URL`, where the gateway is, and
`POINTSMAN_API_KEY`; without them it uses the gateway and the admin key of the local data directory.
"""
PROVIDERS = """
`<NAME>` is `OPENAI`, `ANTHROPIC` or `GOOGLE`, or any name of your own: with `POINTSMAN_PROVIDERS__LOCAL__BASE_URL` set, `local:` models are
those of the OpenAI-compatible server at that address.
"""
OAUTH = """
`<NAME>` is a provider of the catalogue (`google`, `microsoft`, `slack`, `github`, `notion`, `atlassian`), or any name of
your own that users' tokens name as their `provider`.
"""
SECRETS = """
The configs of execution targets and engines hold no secret; they name one of these. With `POINTSMAN_SECRETS__DEPLOY_KEY` set,
`{"secret": "deploy_key"}` is its value. A value may have several lines, such as a private key.
"""


def pages() -> dict[str, str]:
    """The page, by its path below docs/."""
    text = page(
        "Settings",
        INTRODUCTION,
        "## The gateway",
        table(HEAD, [row for field in plain() for row in rows(*field)]),
        *(block for name, section in sections() for block in section_blocks(name, section)),
        "## Model providers",
        table(HEAD, [row for field in aliased() for row in rows(*field)]),
        PROVIDERS,
        table(HEAD, [row for name, field in fields_of("providers") for row in rows(f"{PREFIX}PROVIDERS__<NAME>__{name.upper()}", field)]),
        "## OAuth clients",
        OAUTH,
        table(HEAD, [row for name, field in fields_of("oauth") for row in rows(f"{PREFIX}OAUTH__<NAME>__{name.upper()}", field)]),
        "## Secrets of targets and engines",
        SECRETS,
        table(HEAD, [(code(f"{PREFIX}SECRETS__<NAME>"), "secret", "none", Settings.model_fields["secrets"].description or "")]),
        "## The command line",
        CLIENT,
    )
    missing = [name for name in variable_names() if f"`{name}`" not in text]
    if missing:
        message = f"settings without a row: {missing}"
        raise AssertionError(message)
    return {"reference/settings.md": text}


def plain() -> Iterator[tuple[str, FieldInfo]]:
    """Fields of the top level that are neither sections nor a provider's usual names."""
    for name, field in Settings.model_fields.items():
        if field.validation_alias is None and name not in {"providers", "oauth", "secrets"} and section_of(field) is None:
            yield f"{PREFIX}{name.upper()}", field


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Nested groups of settings."""
    for name, field in Settings.model_fields.items():
        if section := section_of(field):
            yield name, section


def aliased() -> Iterator[tuple[str, FieldInfo]]:
    """Fields that have the providers' usual names."""
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        for name in alias.choices if isinstance(alias, AliasChoices) else [alias] if isinstance(alias, str) else []:
            yield str(name), field


def fields_of(setting: str) -> Iterator[tuple[str, FieldInfo]]:
    """Fields of one of those that have a name: of one provider, of one OAuth client."""
    section: type[BaseModel] = get_args(Settings.model_fields[setting].annotation)[1]
    yield from section.model_fields.items()


def section_blocks(name: str, section: type[BaseModel]) -> list[str]:
    """A heading, the group's sentence and its table, in which what has several of a kind stands once for each of its fields."""
    listed: list[tuple[str, str, str, str]] = []
    for key, field in section.model_fields.items():
        variable = f"{PREFIX}{name.upper()}__{key.upper()}"
        inner = several_of(field)
        listed += [row for part, one in inner.items() for row in rows(f"{variable}__<NAME>__{part.upper()}", one)] or rows(variable, field)
    return [f"## {TITLES.get(name, name.capitalize())}", docstring(section), table(HEAD, listed)]


def several_of(field: FieldInfo) -> dict[str, FieldInfo]:
    """The fields of each of the groups that a field holds by name, if it holds such."""
    kinds = get_args(field.annotation)
    one = kinds[1] if len(kinds) == 2 and get_origin(field.annotation) is dict else None
    return one.model_fields if isinstance(one, type) and issubclass(one, BaseModel) else {}


def rows(variable: str, field: FieldInfo) -> list[tuple[str, str, str, str]]:
    """The variable's row."""
    return [(code(variable), kind_of(field), default_of(field), field.description or "")]


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The group a field holds, if it holds one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def kind_of(field: FieldInfo) -> str:
    """The type in a reader's words, with its bounds."""
    bounds = [text for limit in field.metadata if (text := bound_of(limit))]
    return ", ".join([words_for(field.annotation), *bounds])


def words_for(kind: Any) -> str:
    """A Python type in a reader's words."""
    if get_origin(kind) is Literal:
        return " or ".join(code(value) for value in get_args(kind))
    if get_origin(kind) is dict:
        return "JSON object"
    if get_origin(kind) is tuple:
        return f"list of {words_for(get_args(kind)[0])}s"
    inner = [argument for argument in get_args(kind) if argument is not type(None)]
    if inner:
        return words_for(inner[0])
    names: dict[Any, str] = {
        SecretStr: "secret",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        timedelta: "duration",
        Path: "path",
    }
    return names[kind]


def bound_of(limit: Any) -> str:
    """`>= 1` and its like."""
    signs: dict[type, tuple[str, str]] = {Ge: ("ge", ">="), Gt: ("gt", ">"), Le: ("le", "<="), Lt: ("lt", "<")}
    for kind, (attribute, sign) in signs.items():
        if isinstance(limit, kind):
            return f"{sign} {getattr(limit, attribute)}"
    return ""


def default_of(field: FieldInfo) -> str:
    """The default, never a path of the machine that makes this page."""
    if get_origin(field.default_factory) is dict:
        return "none"
    if field.default_factory is not None:
        return docstring(field.default_factory).rstrip(".")
    default = field.default
    if default is None or default == () or default is PydanticUndefined:
        return "unset" if default is None else "none"
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g} s"
    return code(str(default).lower() if isinstance(default, bool) else default)
