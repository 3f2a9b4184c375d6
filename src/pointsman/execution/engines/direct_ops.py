"""Runs the job's commands in order, in its workspace, without a shell and without a model."""

from __future__ import annotations

import time
from typing import Any

import pydantic

from pointsman.execution.allowance import COMMAND
from pointsman.execution.engines import Parts
from pointsman.execution.engines.printed import Printed, Room
from pointsman.execution.engines.workspace import Tree, changed, look
from pointsman.execution.errors import TargetFailed
from pointsman.execution.permits import denied_by
from pointsman.execution.ports import Asks, Done, Exited, Failed, Outcome, RanOut, Sandbox, Work
from pointsman.execution.rows import ExecutionEngine
from pointsman.jobs.job_spec import Argv

_CALL = "commands"
_LONGEST_TOLD = 200
_commands = pydantic.TypeAdapter(list[Argv])

Commands = list[list[str]]


def make(engine: ExecutionEngine, parts: Parts) -> DirectOps:
    """The engine; its row says nothing that it needs."""
    del engine, parts
    return DirectOps()


class DirectOps:
    """The port `Engine`. A job without commands needs no sandbox and is done."""

    async def run(self, work: Work) -> Outcome:
        """Asks once for all commands, then stops at the first that fails. Raises TargetFailed, SandboxRefused."""
        report = _Report()
        commands = await _permitted(work)
        if not isinstance(commands, list):
            return commands
        if not commands:
            return Done(report.result("completed"))
        sandbox = await work.sandbox()
        before = await look(sandbox)
        for number, argv in enumerate(commands, 1):
            exited = await report.run(sandbox, work, argv)
            if exited.oom is not None:
                report.peak_memory_mb = await sandbox.peak_memory_mb()
                error = f"memory ran out in command {number}: {exited.oom.detail}"
                return RanOut(exited.oom, report.peak_memory_mb, report.result("oom", error=error))
            if exited.exit_code != 0:
                how = f"signal {exited.signal}" if exited.signal else f"exit {exited.exit_code}"
                reason = f"{how}: command {number} of {len(commands)}: {' '.join(argv)[:_LONGEST_TOLD]}"
                await report.look(sandbox, before)
                return Failed(reason, report.result("failed", error=reason))
        await report.look(sandbox, before)
        return Done(report.result("completed"))


async def _permitted(work: Work) -> Commands | Failed | Asks:
    """The commands that may run: those of the job, or as a person who approved them has edited them."""
    commands: Commands = work.spec.commands
    for argv in commands:
        # First what is denied whatever anybody approves: nobody is asked for a job that then fails.
        if why := _forbidden(work, argv):
            return _denied(why)
    for argv in commands:
        permit = await work.permit(_CALL, COMMAND, " ".join(argv), {"commands": commands})
        if permit.verdict == "deny":
            return _denied(permit.reason)
        if permit.verdict == "ask":
            return Asks((permit.approval_id,) if permit.approval_id else ())
        if permit.args != {"commands": commands}:
            return _edited(work, permit.args)
    return commands


def _edited(work: Work, args: dict[str, Any]) -> Commands | Failed:
    try:
        commands = _commands.validate_python(args.get("commands"))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Failed(f"invalid: the commands as they were edited are not usable: {first['msg']}")
    why = next((why for argv in commands if (why := _forbidden(work, argv))), "")
    return _denied(why) if why else commands


def _forbidden(work: Work, argv: list[str]) -> str:
    line = " ".join(argv)
    why = work.allowance.why_not(COMMAND, line) or denied_by(work.worker.permissions, COMMAND, line)
    return f"{why}: {line[:_LONGEST_TOLD]}" if why else ""


def _denied(why: str) -> Failed:
    return Failed(f"denied: {why}", _Report().result("failed", error=f"denied: {why}"))


class _Report:
    """What is told of a job, as it comes about."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._room = Room()
        self._commands: list[dict[str, Any]] = []
        self._changed: list[str] = []
        self._unread: str | None = None
        self.peak_memory_mb: int | None = None

    async def run(self, sandbox: Sandbox, work: Work, argv: list[str]) -> Exited:
        """A command to its end."""
        printed = Printed(work.output, self._room)
        exited = await sandbox.exec(argv, on_output=printed.add)
        printed.end()
        told = {"argv": argv, "exit_code": exited.exit_code, "stdout": printed.stdout, "stderr": printed.stderr}
        self._commands.append(told | ({"signal": exited.signal} if exited.signal else {}) | {"duration_ms": exited.duration_ms})
        return exited

    async def look(self, sandbox: Sandbox, before: Tree) -> None:
        """See what the commands left. That they were run stays true where this fails."""
        try:
            self.peak_memory_mb = await sandbox.peak_memory_mb()
            self._changed = changed(before, await look(sandbox))
        except TargetFailed as problem:
            self._unread = problem.detail

    def result(self, status: str, *, error: str | None = None) -> dict[str, Any]:
        """As `execution_jobs.result` has it."""
        result: dict[str, Any] = {
            "status": status,
            "output": "".join(one["stdout"] for one in self._commands),
            "exit_code": self._commands[-1]["exit_code"] if self._commands else (0 if error is None else None),
            "commands": self._commands,
            "files_changed": self._changed,
            "peak_memory_mb": self.peak_memory_mb,
            "duration_ms": round((time.monotonic() - self._began) * 1000),
        }
        unread = {} if self._unread is None else {"files_unknown": self._unread}
        return result | unread | ({} if error is None else {"error": error})
