"""What the tools of a code agent do inside the sandbox, once a call may be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pointsman.execution.engines.code_agent.borders import Borders, Keeper
from pointsman.execution.engines.code_agent.calls import Args, Command, DeleteFile, EditFile, ListFiles, ReadFile, Search, WriteFile
from pointsman.execution.engines.code_agent.files import numbered, read_text, write_text
from pointsman.execution.engines.printed import Printed, Room, Tell
from pointsman.execution.engines.workspace import Tree
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import OutOfMemory, Sandbox
from pointsman.kit.problems import Problem
from pointsman.turns.ports import ToolOutcome

_MOST_SHOWN = 30_000
_MOST_LISTED = 2_000
_SEARCH = ("grep", "-rnIE", "-m", "100", "-e")


class InterruptionError(Exception):
    """The attempt cannot go on, which is no result of a tool: the target or the database is away, or memory ran out."""

    def __init__(self, cause: Problem | OutOfMemory) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass
class Effects:
    """Reads, changes and runs things in the workspace; `commands` grows with what was run."""

    sandbox: Sandbox
    tell: Tell
    borders: Borders
    keeper: Keeper
    commands: list[dict[str, Any]]
    room: Room = field(default_factory=Room)

    async def do(self, args: Args) -> ToolOutcome:
        """Make a call. Raises FileError, TargetFailed, SandboxRefused, InterruptionError."""
        if isinstance(args, Command):
            return await self._run(args)
        if isinstance(args, ListFiles | ReadFile | Search):
            return await self._look(args)
        self.keeper.moved()
        return await self._change(args)

    async def _look(self, args: ListFiles | ReadFile | Search) -> ToolOutcome:
        match args:
            case ListFiles():
                return await self._list(args)
            case Search():
                return await self._search(args)
            case ReadFile():
                text, _ = await read_text(self.sandbox, args.path)
                return ToolOutcome(numbered(text, args.first_line, args.lines, _MOST_SHOWN) or "[the file is empty]")

    async def _change(self, args: WriteFile | EditFile | DeleteFile) -> ToolOutcome:
        match args:
            case EditFile():
                return await self._edit(args)
            case WriteFile():
                await write_text(self.sandbox, args.path, args.content)
                return ToolOutcome(f"Wrote {args.path}.")
            case DeleteFile():
                await read_text(self.sandbox, args.path)
                await self.sandbox.exec(["rm", "-f", "--", args.path], on_output=_ignored)
                return ToolOutcome(f"Deleted {args.path}.")

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
        return ToolOutcome(f"Replaced {count} in {args.path}.")

    async def _run(self, args: Command) -> ToolOutcome:
        before = await self._seen()
        printed = Printed(self.tell, self.room)
        exited = await self.sandbox.exec(args.argv, on_output=printed.add)
        printed.end()
        told = {"argv": args.argv, "exit_code": exited.exit_code, "stdout": printed.stdout, "stderr": printed.stderr}
        self.commands.append(told | ({"signal": exited.signal} if exited.signal else {}) | {"duration_ms": exited.duration_ms})
        if exited.oom is not None:
            raise InterruptionError(exited.oom)
        how = f"signal {exited.signal}" if exited.signal else f"exit {exited.exit_code}"
        said = _shortened(f"{how}\n{printed.stdout}{printed.stderr}")
        return ToolOutcome(said + await self._put_back(before), is_error=exited.exit_code != 0)

    async def _seen(self) -> Tree | None:
        try:
            return await self.keeper.now()
        except TargetFailed:
            return None

    async def _put_back(self, before: Tree | None) -> str:
        """What the model has to know of it. A workspace that cannot be looked at is not kept either, so that nothing wrong leaves it."""
        self.keeper.moved()
        if before is None:
            return ""
        try:
            restored = await self.keeper.put_back(before)
        except TargetFailed as problem:
            return f"\n[{problem.detail} As it is, no file of it will be kept: delete what is not needed.]"
        return f"\nNot allowed, hence put back as it was: {', '.join(restored[:20])}." if restored else ""


def _shortened(text: str) -> str:
    """Both ends of it: what a program says last is what it failed with."""
    if len(text) <= _MOST_SHOWN:
        return text
    half = _MOST_SHOWN // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out]\n{text[-half:]}"


def _ignored(_stream: str, _data: bytes) -> None:
    return
