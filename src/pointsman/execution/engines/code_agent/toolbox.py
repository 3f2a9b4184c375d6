"""The tools of a code agent: each call is held against what is allowed, and a person asked where that is said."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from pointsman.approvals.permissions import Rules
from pointsman.approvals.rows import Asking
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
from pointsman.execution.ports import Work
from pointsman.kit.problems import Unavailable
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.plan import TurnState
from pointsman.turns.ports import ToolOutcome


@dataclass
class SandboxTools:
    """The port `Toolbox`. One call at a time: what one does to the workspace the next one sees."""

    work: Work
    state: TurnState
    effects: Effects
    asked: list[str] = field(default_factory=list[str])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Without those that can never be called."""
        observing = self.work.spec.operation_mode == "observe_only"
        return specs_of([name for name in TOOLS if not (observing and name in WRITING) and not self._is_out(name)])

    async def call(self, call: ToolCall) -> ToolOutcome | Asking:
        """Make a call, or say who has to be asked. Raises InterruptionError."""
        async with self._turn:
            try:
                return await self._call(call)
            except (ArgsError, FileError) as error:
                return ToolOutcome(str(error), is_error=True)
            except SandboxRefused as problem:
                return ToolOutcome(problem.detail, is_error=True)
            except (TargetFailed, Unavailable) as problem:
                raise InterruptionError(problem) from problem

    async def _call(self, call: ToolCall) -> ToolOutcome | Asking:
        args = read_args(call.name, _object(call.args))
        if refused := self._refused(call.name, args):
            return ToolOutcome(f"Not allowed: {refused}.", is_error=True)
        given = args.model_dump(mode="json")
        call_id = f"{self.state.model_calls}.{call.id}"
        for reading in args.readings:
            permit = await self.work.permit(call_id, call.name, reading, given)
            if permit.verdict == "deny":
                return ToolOutcome(f"Denied: {permit.reason}", is_error=True)
            if permit.verdict == "ask":
                self.asked.append(permit.approval_id or call_id)
                return self._asking(call, call_id, given, permit.reason)
            if permit.args != given:
                args = read_args(call.name, permit.args)
                if refused := self._refused(call.name, args):
                    return ToolOutcome(f"Not allowed: {refused}.", is_error=True)
                break
        return await self.effects.do(args)

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

    def _asking(self, call: ToolCall, call_id: str, args: dict[str, Any], reason: str) -> Asking:
        work = self.work
        return Asking(
            tenant_id=work.tenant_id,
            user_id=work.user_id,
            key_id=work.key_id,
            run_id=work.run_id,
            job_id=uuid.UUID(work.job_id),
            step=self.state.model_calls,
            call_id=call_id,
            tool_name=call.name,
            tool_args=args,
            rules=Rules.of(work.worker),
            reason=reason,
        )


def title_of(call: ToolCall) -> str:
    """A call in a line, for those who follow."""
    try:
        argument = read_args(call.name, _object(call.args)).argument
    except (ArgsError, KeyError):
        argument = call.args
    return f"{call.name} {argument[:200]}"


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
