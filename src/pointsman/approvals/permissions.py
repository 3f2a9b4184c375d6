"""What a tool call may do without asking: patterns `tool` or `tool(argument glob)`; the first match of deny, ask, allow counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, cast

import msgspec

from pointsman.jobs.worker_config import Permissions, WorkerConfig

Verdict = Literal["allow", "deny", "ask"]
NOT_LISTED = "nothing that is allowed matches it"


class Judgement(NamedTuple):
    """A verdict, and the pattern that led to it; without one, why."""

    verdict: Verdict
    because: str


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """The patterns that one worker's tools are held to; `tools` are the only ones it may use, None: all."""

    deny: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None

    @classmethod
    def of(cls, worker: WorkerConfig | None) -> Rules:
        """Those of a worker's config."""
        if worker is None:
            return cls()
        given = worker.permissions
        tools = None if worker.allowed_tools is None else tuple(worker.allowed_tools)
        return cls(tuple(given.deny), tuple(given.ask), tuple(given.allow), tools)

    @property
    def are_empty(self) -> bool:
        """Whether every call is allowed."""
        return self == _NONE

    def judge(self, tool: str, argument: str) -> Judgement:
        """Judge a call. What nothing matches is allowed, unless `allow` lists anything: then a person is asked."""
        if self.tools is not None and not _first(self.tools, tool, argument):
            return Judgement("deny", "it is not among the allowed tools")
        lists: tuple[tuple[Verdict, tuple[str, ...]], ...] = (("deny", self.deny), ("ask", self.ask), ("allow", self.allow))
        for verdict, patterns in lists:
            if pattern := _first(patterns, tool, argument):
                return Judgement(verdict, pattern)
        return Judgement("ask" if self.allow else "allow", NOT_LISTED if self.allow else "")

    def denies_any(self, tool: str, arguments: Iterable[str]) -> str | None:
        """Why a call with these arguments, however they are read, is denied; None where it is not."""
        for argument in arguments:
            judged = self.judge(tool, argument)
            if judged.verdict == "deny":
                return judged.because
        return None


_NONE = Rules()


def judge(permissions: Permissions, tool: str, argument: str) -> Verdict:
    """The verdict of permissions alone."""
    return Rules.of(WorkerConfig(permissions=permissions)).judge(tool, argument).verdict


def argument_of(args: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> str:
    """What patterns are matched with: the values of the arguments in the order of the tool's parameters, joined by spaces."""
    declared = cast("Mapping[str, Any]", (parameters or {}).get("properties", {}))
    names = [*(name for name in declared if name in args), *sorted(name for name in args if name not in declared)]
    return " ".join(_text(args[name]) for name in names)


def readings(args: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> list[str]:
    """Every text that a pattern could mean by the arguments of a call: all together, each alone, and command lines as lines."""
    found = [argument_of(args, parameters)]
    for value in args.values():
        found.append(_text(value))
        if isinstance(value, list):
            found += [_text(item) for item in cast("list[Any]", value)]
    return found


def _first(patterns: Sequence[str], tool: str, argument: str) -> str:
    return next((pattern for pattern in patterns if matches(pattern, tool, argument)), "")


def matches(pattern: str, tool: str, argument: str) -> bool:
    """Whether `tool`, `tool(glob)` or `*` means this call; `*` and `?` in a glob stand for any characters, lines ends too."""
    name, parenthesis, rest = pattern.partition("(")
    if not parenthesis or not rest.endswith(")"):
        return fnmatchcase(tool, pattern)
    return fnmatchcase(tool, name) and fnmatchcase(argument, rest[:-1])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if all(isinstance(item, str) for item in items):
            return " ".join(items)
    return msgspec.json.encode(value).decode()
