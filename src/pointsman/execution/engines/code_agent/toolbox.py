"""The tools of a code agent: each call is held against what is allowed, and a person asked where that is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from pointsman.execution.engines.code_agent.calls import (
    TOOLS,
    WRITING,
    Args,
    ArgsError,
    Command,
    DeleteFile,
    ListFiles,
    Search,
    read_args,
    specs_of,
)
from pointsman.execution.engines.code_agent.effects import Effects, InterruptionError
from pointsman.execution.engines.code_agent.files import FileError
from pointsman.execution.engines.printed import plain
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.permits import denied_by
from pointsman.execution.ports import Permit, Work
from pointsman.kit.problems import Unavailable
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.plan import TurnState
from pointsman.turns.ports import ToolOutcome


class PausedError(Exception):
    """A person has to decide before the turn goes on; whatever was not done yet is left for then."""

    def __init__(self, approvals: tuple[str, ...]) -> None:
        super().__init__(", ".join(approvals))
        self.approvals = approvals


@dataclass
class SandboxTools:
    """The port `Toolbox`. One call at a time: what one does to the workspace the next one sees."""

    work: Work
    state: TurnState
    effects: Effects
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Without those that can never be called."""
        observing = self.work.spec.operation_mode == "observe_only"
        return specs_of([name for name in TOOLS if not (observing and name in WRITING) and not self._is_out(name)])

    async def call(self, call: ToolCall) -> ToolOutcome:
        """Make a call. Raises PausedError where a person has to decide first, and InterruptionError."""
        async with self._turn:
            try:
                return await self._call(call)
            except (ArgsError, FileError) as error:
                return ToolOutcome(str(error), is_error=True)
            except SandboxRefused as problem:
                return ToolOutcome(problem.detail, is_error=True)
            except (TargetFailed, Unavailable) as problem:
                raise InterruptionError(problem) from problem

    async def _call(self, call: ToolCall) -> ToolOutcome:
        args = read_args(call.name, _object(call.args))
        permit = await self._permit(call, args)
        if isinstance(permit, ToolOutcome):
            return permit
        if permit.verdict == "ask":
            raise PausedError(await self._approvals())
        if permit.args != args.model_dump(mode="json"):
            args = read_args(call.name, permit.args)
            if refused := self._refused(call.name, args):
                return _not_allowed(refused)
        return await self.effects.do(args)

    async def _permit(self, call: ToolCall, args: Args) -> Permit | ToolOutcome:
        """What permissions and persons say, or what the model is told where it may not."""
        if refused := self._refused(call.name, args):
            return _not_allowed(refused)
        given = args.model_dump(mode="json")
        permit = Permit("allow", given)
        for reading in args.readings:
            permit = await self.work.permit(f"{self.state.model_calls}.{call.id}", call.name, reading, given)
            if permit.verdict == "deny":
                return ToolOutcome(f"Denied: {permit.reason}", is_error=True)
            if permit.verdict == "ask" or permit.args != given:
                break
        return permit

    async def _approvals(self) -> tuple[str, ...]:
        """Of every call of the answer that asks: a person decides about all of them at once."""
        asked: list[str] = []
        for call in self.state.pending_calls():
            with contextlib.suppress(ArgsError, KeyError):
                permit = await self._permit(call, read_args(call.name, _object(call.args)))
                if isinstance(permit, Permit) and permit.verdict == "ask" and permit.approval_id:
                    asked.append(permit.approval_id)
        return tuple(asked)

    def _refused(self, tool: str, args: Args) -> str:
        """What stands in the way whatever anybody approves; empty where nothing does."""
        allowance = self.work.allowance
        if why := allowance.why_not(tool, args.argument):
            return why
        for reading in args.readings:
            if why := denied_by(self.work.worker.permissions, tool, reading):
                return why
            if isinstance(args, Command) and (why := allowance.why_dangerous(reading)):
                return why
        if isinstance(args, Command):
            return ""
        if isinstance(args, ListFiles | Search):
            return self.effects.borders.why_not_look(args.path)
        return self.effects.borders.why_not(args.path) or (
            self.effects.keeper.why_not_delete(args.path) if isinstance(args, DeleteFile) else ""
        )

    def _is_out(self, tool: str) -> bool:
        """Whether no argument could make a call of the tool allowed."""
        lists = self.work.allowance.tools
        return any(not any(fnmatchcase(tool, pattern.partition("(")[0]) for pattern in patterns) for patterns in lists)


def title_of(call: ToolCall) -> str:
    """A call in a line, for those who follow."""
    try:
        argument = read_args(call.name, _object(call.args)).argument
    except (ArgsError, KeyError):
        argument = call.args
    return f"{call.name} {argument[:200]}"


def _not_allowed(why: str) -> ToolOutcome:
    return ToolOutcome(f"Not allowed: {why}.", is_error=True)


def _object(text: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(text or "{}")
    except ValueError as error:
        raise ArgsError(f"The arguments are not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ArgsError("The arguments are no JSON object.")
    if not _is_kept(value):
        raise ArgsError("The arguments have a NUL or half a character in them.")
    return cast("dict[str, Any]", value)


def _is_kept(value: Any) -> bool:
    """Whether programs take its texts as arguments, and the database as a result."""
    if isinstance(value, str):
        return plain(value) == value
    if isinstance(value, dict):
        return all(_is_kept(name) and _is_kept(one) for name, one in cast("dict[str, Any]", value).items())
    return not isinstance(value, list) or all(map(_is_kept, cast("list[Any]", value)))
