"""The tools of a code agent as its model sees them, and what each call of them means for permissions."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pointsman.execution.allowance import COMMAND
from pointsman.llm.port import ToolSpec

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
_PIECES = re.compile(r"[;&|\n]+")


class ArgsError(ValueError):
    """The model's arguments make no sense; the message is for the model."""


def _inside(path: Any) -> Any:
    if not isinstance(path, str):
        raise ValueError("A path is a text.")  # noqa: TRY004 - pydantic makes a field's error of it
    plain = posixpath.normpath(path.removeprefix("/workspace/") or ".")
    if plain.startswith(("/", "../")) or plain == ".." or "\0" in plain:
        raise ValueError("Paths are relative to the workspace and do not lead out of it.")
    return plain


Path = Annotated[str, BeforeValidator(_inside)]


def _argv(value: Any) -> Any:
    """Models like to write a command line where a list is asked for."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"The command line cannot be split: {error}.") from None


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def argument(self) -> str:
        """What patterns are matched with."""
        raise AssertionError

    @property
    def readings(self) -> tuple[str, ...]:
        """Every text that a pattern could mean by it."""
        return (self.argument,)


class _OfPath(_Args):
    path: Path

    @property
    def argument(self) -> str:
        return self.path


class ListFiles(_OfPath):
    """List the files of a folder of the workspace, with those in folders below it."""

    path: Path = "."


class ReadFile(_OfPath):
    """Read a text file of the workspace; lines are numbered from 1."""

    first_line: int = Field(default=1, ge=1)
    lines: int = Field(default=2000, ge=1, le=10_000)


class WriteFile(_OfPath):
    """Write a text file of the workspace, a new one or in place of what is there. Missing folders are made."""

    content: str = Field(max_length=2_000_000)


class EditFile(_OfPath):
    """Replace a piece of a text file. `old` must stand in it exactly once, unless `all` is true."""

    old: str = Field(min_length=1)
    new: str
    all: bool = False


class DeleteFile(_OfPath):
    """Delete a file of the workspace."""


class Search(_OfPath):
    """Find lines that match a regular expression (POSIX extended) in the text files of a folder or in a file."""

    pattern: str = Field(min_length=1, max_length=1000)
    path: Path = "."

    @property
    def argument(self) -> str:
        return f"{self.pattern} {self.path}"


class Command(_Args):
    """Run a program in the workspace and wait for its end: its arguments one by one, no shell unless you name one."""

    argv: Annotated[list[str], BeforeValidator(_argv), Field(min_length=1, max_length=1024)]

    @property
    def argument(self) -> str:
        return " ".join(self.argv)

    @property
    def readings(self) -> tuple[str, ...]:
        """The line, and the pieces of a shell's script: what is denied is not to be had by way of `sh -c` either."""
        if posixpath.basename(self.argv[0]) not in _SHELLS:
            return (self.argument,)
        scripts = [text for text in self.argv[1:] if not text.startswith("-")]
        pieces = (piece.strip() for script in scripts for piece in _PIECES.split(script))
        return (self.argument, *(piece for piece in pieces if piece))


Args = ListFiles | ReadFile | WriteFile | EditFile | DeleteFile | Search | Command
TOOLS: dict[str, type[Args]] = {
    "list_files": ListFiles,
    "read_file": ReadFile,
    "search": Search,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "delete_file": DeleteFile,
    COMMAND: Command,
}
WRITING = frozenset({"write_file", "edit_file", "delete_file"})


def read_args(tool: str, raw: dict[str, Any]) -> Args:
    """The arguments of a call. Raises ArgsError."""
    try:
        return TOOLS[tool].model_validate(raw)
    except pydantic.ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors(include_url=False))
        raise ArgsError("; ".join(wrong)) from None


def specs_of(names: list[str]) -> tuple[ToolSpec, ...]:
    """What the model is offered."""
    return tuple(ToolSpec(name, (TOOLS[name].__doc__ or "").strip(), _parameters(TOOLS[name])) for name in names)


def _parameters(kind: type[Args]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    return {name: value for name, value in schema.items() if name not in {"title", "description"}}
