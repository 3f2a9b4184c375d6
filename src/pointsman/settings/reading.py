"""Reads the settings once from the environment; a name that nobody knows is refused with the closest one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic import (
    AliasChoices,
)

from pointsman.settings.errors import SettingsInvalid
from pointsman.settings.providers import ProviderSettings
from pointsman.settings.sections import McpSettings, OAuthSettings, StdioServerSettings
from pointsman.settings.tree import Settings
from pointsman.settings.values import PREFIX, Section

_CLIENT_ONLY = {"POINTSMAN_URL", "POINTSMAN_API_KEY"}


def load_settings(**overrides: Any) -> Settings:
    """Read the environment once; `overrides` (from command-line options) win. Raises SettingsInvalid."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**overrides)
    except pydantic.ValidationError as error:
        lines = [
            f"{_variable(item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsInvalid("; ".join(lines)) from None


def variable_names() -> dict[str, str]:
    """Every setting's variable and description; those of which there are several stand under the name `<NAME>`."""
    names: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names.update({str(choice): field.description or "" for choice in alias.choices})
        elif isinstance(alias, str):
            names[alias] = field.description or ""
        elif name == "providers":
            names.update(_section_names(f"{PREFIX}PROVIDERS__<NAME>__", ProviderSettings))
        elif name == "oauth":
            names.update(_section_names(f"{PREFIX}OAUTH__<NAME>__", OAuthSettings))
        elif name == "secrets":
            names[f"{PREFIX}SECRETS__<NAME>"] = field.description or ""
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            names.update(_section_names(f"{PREFIX}{name.upper()}__", field.annotation))
            if field.annotation is McpSettings:
                del names[f"{PREFIX}MCP__STDIO"]
                names.update(_section_names(f"{PREFIX}MCP__STDIO__<NAME>__", StdioServerSettings))
        else:
            names[f"{PREFIX}{name.upper()}"] = field.description or ""
    return names


def _section_names(prefix: str, section: type[Section]) -> dict[str, str]:
    return {f"{prefix}{name.upper()}": field.description or "" for name, field in section.model_fields.items()}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = variable_names()
    for name in environment:
        if not name.upper().startswith(PREFIX) or name in _CLIENT_ONLY:
            continue
        generic, provider = _generic(name.upper())  # variables are read whatever their case
        if generic in known:
            continue
        close = difflib.get_close_matches(generic, known, n=1)
        hint = f"Did you mean {close[0].replace('<NAME>', provider)}?" if close else "`pointsman doctor` lists the known settings."
        raise SettingsInvalid(f"Unknown setting {name}.", hint=hint)


def _generic(name: str) -> tuple[str, str]:
    """A variable as `variable_names` has it, and the provider or secret whose name it holds."""
    found = re.match(rf"({PREFIX}(?:PROVIDERS|OAUTH|MCP__STDIO)__)([^_]+(?:_[^_]+)*)(?=__)|({PREFIX}SECRETS?__)([^_]+(?:_[^_]+)*)$", name)
    if found is None:
        return name, "<NAME>"
    head, chosen = (text for text in found.groups() if text is not None)
    return f"{head}<NAME>{name[found.end() :]}", chosen


def _variable(location: tuple[int | str, ...]) -> str:
    head, *rest = (str(part) for part in location)
    if head.isupper():
        return head
    return PREFIX + "__".join([head.upper(), *(part.upper() for part in rest)])
