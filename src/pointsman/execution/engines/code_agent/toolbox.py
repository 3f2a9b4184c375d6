"""The tools of a code agent at work inside the sandbox: each call is held against what is allowed, and a person asked where that is said."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

from pointsman.approvals.permissions import Rules
from pointsman.approvals.rows import Asking
from pointsman.execution.allowance import COMMAND
from pointsman.execution.engines.code_agent.borders import Borders, Keeper
from pointsman.execution.engines.code_agent.calls import (
    TOOLS,
    WRITING,
    Args,
    ArgsInvalid,
    Command,
    DeleteFile,
    EditFile,
    ListFiles,
    ReadFile,
    Search,
    WriteFile,
    read_args,
    specs_of,
)
from pointsman.execution.engines.code_agent.files import FileUnusable, numbered, read_text, write_text
from pointsman.execution.engines.printed import Printed, Room
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.permits import denied_by
from pointsman.execution.ports import OutOfMemory, Sandbox, Work
from pointsman.kit.problems import Problem, Unavailable
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.plan import TurnState
from pointsman.turns.ports import ToolOutcome

_MOST_SHOWN = 30_000
_MOST_LISTED = 2_000
_SEARCH = ("grep", "-rnIE", "-m", "100", "-e")


class Interrupted(Exception):
    """The attempt cannot go on, which is no result of a tool: the target or the database is away, or memory ran out."""

    def __init__(self, cause: Problem | OutOfMemory) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass
class SandboxTools:
    """The port `Toolbox`. One call at a time: what one does to the workspace the next one sees."""

    work: Work
    sandbox: Sandbox
    state: TurnState
    borders: Borders
    keeper: Keeper
    commands: list[dict[str, Any]]
    room: Room = field(default_factory=Room)
    asked: list[str] = field(default_factory=list[str])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Without those that can never be called."""
        observing = self.work.spec.operation_mode == "observe_only"
        return specs_of([name for name in TOOLS if not (observing and name in WRITING) and not self._is_out(name)])

    async def call(self, call: ToolCall) -> ToolOutcome | Asking:
        """Make a call, or say who has to be asked. Raises Interrupted."""
        async with self._turn:
            try:
                return await self._call(call)
            except (ArgsInvalid, FileUnusable) as error:
                return ToolOutcome(str(error), is_error=True)
            except SandboxRefused as problem:
                return ToolOutcome(problem.detail, is_error=True)
            except (TargetFailed, Unavailable) as problem:
                raise Interrupted(problem) from problem

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
        return await self._do(args)

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
            return self.borders.why_not_look(args.path)
        return self.borders.why_not(args.path) or (self.keeper.why_not_delete(args.path) if isinstance(args, DeleteFile) else "")

    async def _do(self, args: Args) -> ToolOutcome:
        match args:
            case ListFiles():
                return await self._list(args)
            case ReadFile():
                text, _ = await read_text(self.sandbox, args.path)
                return ToolOutcome(numbered(text, args.first_line, args.lines, _MOST_SHOWN) or "[the file is empty]")
            case Search():
                return await self._search(args)
            case WriteFile():
                await write_text(self.sandbox, args.path, args.content)
                self.keeper.moved()
                return ToolOutcome(f"Wrote {args.path}.")
            case EditFile():
                return await self._edit(args)
            case DeleteFile():
                await read_text(self.sandbox, args.path)
                await self.sandbox.exec(["rm", "-f", "--", args.path], on_output=_ignored)
                self.keeper.moved()
                return ToolOutcome(f"Deleted {args.path}.")
            case Command():
                return await self._run(args)

    async def _list(self, args: ListFiles) -> ToolOutcome:
        inside = "" if args.path == "." else f"{args.path}/"
        paths = [path for path in sorted((await self.keeper.now()).prints) if path.startswith(inside) and not self.borders.why_not(path)]
        more = f"\n[{len(paths) - _MOST_LISTED} more files]" if len(paths) > _MOST_LISTED else ""
        return ToolOutcome("\n".join(paths[:_MOST_LISTED]) + more or "[no files]")

    async def _search(self, args: Search) -> ToolOutcome:
        printed = Printed(lambda _text, _stream: None, Room())
        exited = await self.sandbox.exec([*_SEARCH, args.pattern, "--", args.path], on_output=printed.add)
        if exited.exit_code not in {0, 1}:
            return ToolOutcome(printed.stderr or "The search failed: there is no grep here.", is_error=True)
        lines = [line.removeprefix("./") for line in printed.stdout.splitlines()]
        found = [line for line in lines if not self.borders.why_not(line.partition(":")[0])]
        return ToolOutcome(_shortened("\n".join(found)) or "[no line matches]")

    async def _edit(self, args: EditFile) -> ToolOutcome:
        text, mode = await read_text(self.sandbox, args.path)
        count = text.count(args.old)
        if count == 0 or (count > 1 and not args.all):
            return ToolOutcome(f"`old` stands {count} times in {args.path}; nothing was changed.", is_error=True)
        await write_text(self.sandbox, args.path, text.replace(args.old, args.new), mode)
        self.keeper.moved()
        return ToolOutcome(f"Replaced {count} in {args.path}.")

    async def _run(self, args: Command) -> ToolOutcome:
        before = await self.keeper.now()
        printed = Printed(self.work.output, self.room)
        exited = await self.sandbox.exec(args.argv, on_output=printed.add)
        printed.end()
        told = {"argv": args.argv, "exit_code": exited.exit_code, "stdout": printed.stdout, "stderr": printed.stderr}
        self.commands.append(told | ({"signal": exited.signal} if exited.signal else {}) | {"duration_ms": exited.duration_ms})
        if exited.oom is not None:
            raise Interrupted(exited.oom)
        restored = await self.keeper.put_back(before)
        note = f"\nNot allowed, hence put back as it was: {', '.join(restored[:20])}." if restored else ""
        how = f"signal {exited.signal}" if exited.signal else f"exit {exited.exit_code}"
        return ToolOutcome(_shortened(f"{how}\n{printed.stdout}{printed.stderr}") + note, is_error=exited.exit_code != 0)

    def _is_out(self, tool: str) -> bool:
        """Whether no argument could make a call of the tool allowed."""
        lists = self.work.allowance.tools
        return any(not any(pattern.partition("(")[0] in {tool, "*"} or "*" in pattern for pattern in patterns) for patterns in lists)

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
    except (ArgsInvalid, KeyError):
        argument = call.args
    return f"{call.name} {argument[:200]}"


def _object(text: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(text or "{}")
    except ValueError as error:
        raise ArgsInvalid(f"The arguments are not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ArgsInvalid("The arguments are no JSON object.")
    return cast("dict[str, Any]", value)


def _shortened(text: str) -> str:
    """Both ends of it: what a program says last is what it failed with."""
    if len(text) <= _MOST_SHOWN:
        return text
    half = _MOST_SHOWN // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out]\n{text[-half:]}"


def _ignored(_stream: str, _data: bytes) -> None:
    return


__all__ = ["COMMAND", "Interrupted", "SandboxTools", "title_of"]
