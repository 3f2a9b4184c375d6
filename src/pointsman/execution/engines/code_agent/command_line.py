"""A coding agent with a command line: started in the sandbox by a template of arguments, followed by what it prints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic
from pydantic import SecretStr

from pointsman.execution.allowance import COMMAND
from pointsman.execution.engines import Parts
from pointsman.execution.engines.code_agent.borders import Borders, Keeper
from pointsman.execution.engines.code_agent.stream import AgentOutput, reader_of
from pointsman.execution.engines.filling import filled
from pointsman.execution.engines.left import left_behind
from pointsman.execution.engines.printed import Printed, Room
from pointsman.execution.engines.spending import Spending
from pointsman.execution.engines.telling import not_told, told_of
from pointsman.execution.engines.workspace import Tree, look
from pointsman.execution.errors import TargetFailed
from pointsman.execution.grants import SecretRef
from pointsman.execution.handlers import CommandAgent
from pointsman.execution.ports import Asks, Done, Exited, Failed, Outcome, RanOut, Sandbox, Stream, Work
from pointsman.execution.secrets import reveal
from pointsman.jobs.job_spec import Argv
from pointsman.llm.port import Spend

_CALL = "agent"
_argv = pydantic.TypeAdapter(Argv)


@dataclass(slots=True)
class _Started:
    work: Work
    sandbox: Sandbox
    argv: list[str]
    begun: Tree
    output: AgentOutput
    errors: Printed
    spending: Spending
    began: float = field(default_factory=time.monotonic)

    def take(self, stream: Stream, data: bytes) -> None:
        """An `OnOutput`."""
        if stream == "stdout":
            self.output.add(data)
        else:
            self.errors.add(stream, data)


class CommandLineEngine:
    """The port `Engine`."""

    def __init__(self, handler: CommandAgent, parts: Parts) -> None:
        self._handler = handler
        self._parts = parts

    async def run(self, work: Work) -> Outcome:
        """Start the agent, if it may be, and wait for its end. Raises TargetFailed, SandboxRefused."""
        handler = self._handler
        if unheld := not_told(work, handler.argv):
            return _refused(f"this engine does not tell its agent of {unheld}; an operator adds the placeholder to its argv")
        values = told_of(work, apart=handler.stdin == "prompt", template=handler.argv) | {"model": handler.model or "", "workspace": "."}
        argv = [filled(one, values) for one in handler.argv]
        permit = await work.permit(_CALL, COMMAND, " ".join(argv), {"argv": argv})
        if permit.verdict == "deny":
            return _refused(permit.reason)
        if permit.verdict == "ask":
            return Asks((permit.approval_id,) if permit.approval_id else ())
        try:
            argv = _argv.validate_python(permit.args.get("argv"))
        except pydantic.ValidationError:
            return Failed("invalid: the command as it was edited is not usable")
        return await self._started(work, argv)

    async def _started(self, work: Work, argv: list[str]) -> Outcome:
        sandbox = await work.sandbox()
        room, handler = Room(), self._handler
        output, errors = reader_of(handler, work.output), Printed(work.output, room)
        spending = Spending(self._parts.db, self._parts.budgets, work)
        started = _Started(work, sandbox, argv, await look(sandbox), output, errors, spending)
        env = _environment(handler, self._parts.settings.secrets)
        stdin = work.prompt.encode(errors="replace") if handler.stdin == "prompt" else b""
        try:
            exited = await sandbox.exec(argv, on_output=started.take, env=env, stdin=stdin)
        except asyncio.CancelledError:
            await spending.record_at_last(_spends(started, handler))
            raise
        output.end()
        errors.end()
        await spending.record(_spends(started, handler))
        return await _ended(started, exited)


async def _ended(started: _Started, exited: Exited) -> Outcome:
    output = started.output
    if exited.oom is not None:
        peak = await started.sandbox.peak_memory_mb()
        return RanOut(exited.oom, peak, {"status": "oom", "output": output.text, "usage": started.spending.spent.read()})
    how = f"signal {exited.signal}" if exited.signal else f"exit {exited.exit_code}" if exited.exit_code else ""
    if output.error:
        how = f"model: {output.error}"
    result = await _result(started, exited, how)
    return Failed(how if output.error else f"{how}: {started.argv[0]}", result) if how else Done(result)


async def _result(started: _Started, exited: Exited, error: str) -> dict[str, Any]:
    work, sandbox = started.work, started.sandbox
    borders = Borders.of(work.spec)
    keeper = Keeper(sandbox, borders, started.begun, may_delete="delete_files" in work.allowance.dangers)
    restored: list[str] = []
    try:
        # Its own tool calls cannot be held against anything, but what it leaves can.
        restored = await keeper.put_back(started.begun)
    except TargetFailed as problem:
        work.output(f"[{problem.detail}]\n", "stderr")
    result: dict[str, Any] = {
        "status": "failed" if error else "completed",
        "output": started.output.text,
        "exit_code": exited.exit_code,
        **await left_behind(sandbox, started.begun),
        "files_put_back": restored,
        "commands": [],
        "tools": started.output.tools,
        "stderr": started.errors.stderr,
        "usage": started.spending.spent.read(),
        "duration_ms": round((time.monotonic() - started.began) * 1000),
    }
    return result | ({"error": error} if error else {})


def _spends(started: _Started, handler: CommandAgent) -> list[Spend]:
    """What the agent says that it used."""
    took = round((time.monotonic() - started.began) * 1000)
    named = [(model or handler.model or "unknown", usage) for model, usage in started.output.usages]
    return [Spend(model if ":" in model else f"{started.work.provider}:{model}", usage, took) for model, usage in named]


def _environment(handler: CommandAgent, secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: reveal(value, secrets) if isinstance(value, SecretRef) else value for name, value in handler.env.items()}


def _refused(why: str) -> Failed:
    return Failed(f"denied: {why}", {"status": "failed", "output": "", "files_changed": [], "error": f"denied: {why}"})
