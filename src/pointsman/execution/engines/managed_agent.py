"""Hands the work to a remote agent by HTTP: started once, followed to its end whoever follows, cancelled with the job."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pointsman.execution.connections import ManagedAgentsConnection, read_connection
from pointsman.execution.engines import Parts
from pointsman.execution.engines.filling import found_at, number_at, text_at
from pointsman.execution.engines.printed import plain
from pointsman.execution.engines.remote_api import RemoteApi, headers_of
from pointsman.execution.engines.spending import Spending
from pointsman.execution.engines.telling import not_told, told_of
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.handlers import ManagedAgent, read_handler
from pointsman.execution.ports import Asks, Done, Failed, Outcome, Work
from pointsman.execution.rows import ExecutionEngine
from pointsman.jobs.remembering import remember
from pointsman.kit.egress import Answer, EgressFailed
from pointsman.llm.port import Spend, Usage

_CALL = "agent"
_TOOL = "managed_agent"
_PATIENCE = 5  # polls in a row that may fail
_CANCEL_WITHIN = 1.5
_MOST_TOLD = 256 * 1024
# Why the engine was told to end, where nobody goes on with the job: a hand-over is not the remote agent's business.
_OVER = ("timeout", "cancelled")


def make(engine: ExecutionEngine, parts: Parts) -> ManagedAgentEngine:
    """The engine, as its row describes the API."""
    handler = read_handler(engine.type, engine.handler_config)
    assert isinstance(handler, ManagedAgent)
    return ManagedAgentEngine(handler, parts)


@dataclass(slots=True)
class _Remote:
    """The remote agent's run. `key` is what starting it is repeatable by, `epoch` the attempt that began."""

    work: Work
    api: RemoteApi
    values: dict[str, str]
    key: str
    epoch: int
    id: str | None = None
    began: float = field(default_factory=time.monotonic)

    def known(self) -> dict[str, Any]:
        """What the next attempt has to know."""
        return {"key": self.key, "epoch": self.epoch, "id": self.id}


class ManagedAgentEngine:
    """The port `Engine`."""

    def __init__(self, handler: ManagedAgent, parts: Parts) -> None:
        self._handler = handler
        self._parts = parts

    async def run(self, work: Work) -> Outcome:
        """Start it, unless an earlier attempt has, and follow it. Raises TargetFailed, SandboxRefused."""
        template = self._handler.start.body
        if unheld := not_told(work, template):
            return _refused(f"this engine does not tell its agent of {unheld}; an operator adds the placeholder to start.body")
        permit = await work.permit(_CALL, _TOOL, work.prompt, {"prompt": work.prompt})
        if permit.verdict == "deny":
            return _refused(permit.reason)
        if permit.verdict == "ask":
            return Asks((permit.approval_id,) if permit.approval_id else (), work.checkpoint)
        remote = self._remote(work, told_of(work, template) | _edited(work, permit.args))
        try:
            return await self._run(remote)
        except asyncio.CancelledError as ending:
            if ending.args[:1] and ending.args[0] in _OVER:
                await self._cancel(remote)
            raise

    def _remote(self, work: Work, values: dict[str, str]) -> _Remote:
        connection = read_connection(work.target.type, work.target.connection_config)
        if not isinstance(connection, ManagedAgentsConnection):
            raise SandboxRefused(
                f"An engine of type managed_agent needs a target of type managed_agents; {work.target.id} is of type {work.target.type}."
            )
        headers = headers_of(connection, self._parts.settings.secrets)
        api = RemoteApi(self._parts.trusted, connection.url, headers, timedelta(seconds=self._handler.request_timeout))
        known: dict[str, Any] = work.checkpoint.get("remote") or {"key": f"pm-{work.job_id}-{work.epoch}", "epoch": work.epoch, "id": None}
        return _Remote(work, api, values, known["key"], known["epoch"], known["id"])

    async def _run(self, remote: _Remote) -> Outcome:
        if remote.id is None:
            # Remembered before anybody is asked: whoever goes on after a death asks with the same key, and starts nothing twice.
            await self._remember(remote)
            refused = await self._start(remote)
            if refused is not None:
                return refused
        if self._handler.stream is not None:
            await self._listen(remote)
        return await self._poll(remote)

    async def _start(self, remote: _Remote) -> Failed | None:
        answer = await remote.api.ask(self._handler.start, remote.values, {"Idempotency-Key": remote.key})
        if answer.status >= 300:
            return _failed(f"invalid: the remote agent refused to start: status {answer.status}: {_said(answer)}")
        remote.id = text_at(_body(answer), self._handler.id)
        if not remote.id:
            return _failed(f"invalid: the answer to start has nothing at {self._handler.id!r}")
        await self._remember(remote)
        return None

    async def _remember(self, remote: _Remote) -> None:
        work = remote.work
        async with self._parts.db.transaction() as connection:
            mine = await remember(connection, uuid.UUID(work.job_id), work.epoch, {**work.checkpoint, "remote": remote.known()})
        if not mine:
            raise TargetFailed("The job is another attempt's by now.")

    async def _listen(self, remote: _Remote) -> None:
        """Pass on what it says. How it ended is polled: a stream that breaks tells nothing."""
        assert self._handler.stream is not None
        events = remote.api.events(self._handler.stream, self._values(remote))
        with contextlib.suppress(TargetFailed):
            async with aclosing(events):
                async for event in events:
                    if text := plain(text_at(event, self._handler.delta)):
                        remote.work.output(text)
                    if self._is_over(event):
                        return

    async def _poll(self, remote: _Remote) -> Outcome:
        failures = 0
        while True:
            try:
                answer = await remote.api.ask(self._handler.poll, self._values(remote))
                failures = 0
            except TargetFailed:
                failures += 1
                if failures >= _PATIENCE:
                    raise
            else:
                if answer.status >= 400:
                    return _failed(f"invalid: the remote agent does not know {remote.id}: status {answer.status}: {_said(answer)}")
                if self._is_over(_body(answer)):
                    return await self._ended(remote, _body(answer))
            await asyncio.sleep(self._handler.interval)

    async def _ended(self, remote: _Remote, told: Any) -> Outcome:
        handler = self._handler
        spending = Spending(self._parts.db, self._parts.budgets, remote.work, epoch=remote.epoch)
        await spending.record(self._spends(remote, told))
        result: dict[str, Any] = {
            "status": "completed" if text_at(told, handler.status) in handler.done else "failed",
            "output": plain(text_at(told, handler.output))[:_MOST_TOLD],
            "files_changed": [],
            "remote_id": remote.id,
            "usage": spending.spent.read(),
            "duration_ms": round((time.monotonic() - remote.began) * 1000),
        }
        if result["status"] == "completed":
            return Done(result)
        reason = f"model: {plain(text_at(told, handler.error))[:2000] or text_at(told, handler.status)}"
        return Failed(reason, result | {"error": reason})

    def _spends(self, remote: _Remote, told: Any) -> list[Spend]:
        handler = self._handler
        usage = found_at(told, handler.usage)
        counted = Usage(
            prompt_tokens=number_at(usage, handler.prompt_tokens), completion_tokens=number_at(usage, handler.completion_tokens)
        )
        if not counted.total_tokens:
            return []
        model = text_at(told, handler.model) or "managed"
        name = model if ":" in model else f"{remote.work.provider}:{model}"
        return [Spend(name, counted, round((time.monotonic() - remote.began) * 1000))]

    def _is_over(self, told: Any) -> bool:
        return text_at(told, self._handler.status) in {*self._handler.done, *self._handler.failed}

    async def _cancel(self, remote: _Remote) -> None:
        """Tell it, as far as it can be told in the moment that is left."""
        if self._handler.cancel is not None and remote.id is not None:
            with contextlib.suppress(TargetFailed, TimeoutError):
                async with asyncio.timeout(_CANCEL_WITHIN):
                    await remote.api.ask(self._handler.cancel, self._values(remote))

    def _values(self, remote: _Remote) -> dict[str, str]:
        return remote.values | {"id": remote.id or ""}


def _edited(work: Work, args: dict[str, Any]) -> dict[str, str]:
    """The prompt, where whoever approved it has changed it."""
    prompt = args.get("prompt")
    return {"prompt": prompt} if isinstance(prompt, str) and prompt != work.prompt else {}


def _body(answer: Answer) -> Any:
    try:
        return answer.json()
    except EgressFailed as problem:
        raise TargetFailed(problem.detail) from problem


def _said(answer: Answer) -> str:
    return plain(answer.body[:300].decode(errors="replace"))


def _failed(reason: str) -> Failed:
    return Failed(reason, {"status": "failed", "output": "", "files_changed": [], "error": reason})


def _refused(why: str) -> Failed:
    return _failed(f"denied: {why}")
