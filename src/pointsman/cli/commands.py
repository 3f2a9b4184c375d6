"""The table of commands: their names and help are known at once, their modules are imported when one is called."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import typer
import typer.core
import typer.main

SECTIONS: dict[str, dict[str, str]] = {
    "Run a gateway": {
        "up": "Start everything in one place: database, migrations, HTTP and workers.",
        "demo": "Play a support conversation on a gateway of its own, offline.",
        "doctor": "Say what is wrong, and how to mend it.",
        "serve": "Serve HTTP on a database server that is migrated.",
        "worker": "Do jobs, beside any number of others.",
        "migrate": "Bring the database to the schema of this release.",
        "db": "The database itself: address, shell, backup, restore.",
    },
    "Describe": {
        "prompts": "Prompt templates with versions and labels.",
        "skills": "Instructions with files: import, edit, export.",
        "agents": "Agents: a prompt, a model and its settings.",
        "teams": "Teams: who leads, and who is in them.",
        "knowledge": "Files that agents and people search.",
        "mcp": "MCP servers: whose tools agents may be given.",
        "openapi-tools": "OpenAPI documents whose operations agents call.",
        "models": "Model providers and what each needs.",
        "engines": "How work is done: commands, code agents, remote agents.",
        "targets": "Where work runs, and whether it can.",
    },
    "Talk": {
        "chat": "Talk to an agent.",
        "runs": "What was asked, how it ended, and its events.",
        "jobs": "Dispatched work: submit, watch, cancel.",
        "approvals": "What waits for a person, and the decision.",
        "sessions": "Conversations and their messages.",
        "memories": "What agents remember about users.",
    },
    "Look after": {
        "keys": "Keys: who may call, and what.",
        "tokens": "Users' tokens for other systems.",
        "keyring": "The keys that encrypt stored secrets, and their rotation.",
        "usage": "Tokens and cost.",
        "budgets": "What may be spent in a day or a month.",
        "audit": "The log of changes.",
        "schedules": "Agents and teams that are asked by the clock.",
        "webhooks": "Who is told what happens.",
        "breakers": "What failed too often and is left alone for now.",
        "workers": "The processes that do jobs, and what each has in hand.",
        "users": "Export or erase what a user left.",
        "tenants": "Export or erase a tenant.",
    },
}
_HELP = {name: help_text for section in SECTIONS.values() for name, help_text in section.items()}


class _Loaded(MutableMapping[str, Any]):
    """Name to command, imported on first sight."""

    def __init__(self) -> None:
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            if name not in _HELP:
                raise KeyError(name)
            self._commands[name] = _load(name)
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_HELP)

    def __len__(self) -> int:
        return len(_HELP)


class Commands(typer.core.TyperGroup):
    """The root: lists its commands without importing them."""

    def __init__(self, **attributes: Any) -> None:
        """Forget the empty list that typer gives."""
        attributes["commands"] = None
        super().__init__(**attributes)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(_HELP)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(rows.items()), col_max=14)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Suggest what was meant, without importing every command to find out."""
        if args and args[0] not in _HELP and not args[0].startswith("-"):
            close = get_close_matches(args[0], _HELP, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    # import_module, so that `--help` costs neither httpx nor the gateway, and one noun not the others.
    application: typer.Typer = import_module(f"pointsman.cli.{'database' if name == 'db' else name.replace('-', '_')}").app
    command: Any = typer.main.get_command(application)
    command.name = name
    command.help = command.help or _HELP[name]
    return command
