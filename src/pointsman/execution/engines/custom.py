"""Engines of one's own: an HTTPS endpoint that is sent signed requests, or an installed Python entry point."""

from __future__ import annotations

import importlib.metadata
import json
import time
import uuid
from datetime import timedelta
from typing import Any, cast

from pointsman.execution.engines import Parts
from pointsman.execution.engines.filling import number_at, text_at
from pointsman.execution.engines.printed import plain
from pointsman.execution.engines.spending import Spending
from pointsman.execution.errors import EngineFailed, EngineNotInstalled, TargetFailed
from pointsman.execution.grants import SecretRef
from pointsman.execution.handlers import Custom, Endpoint, read_handler
from pointsman.execution.ports import Asks, Done, Engine, Failed, Outcome, Work
from pointsman.execution.rows import ExecutionEngine
from pointsman.execution.secrets import reveal
from pointsman.jobs.remembering import remember
from pointsman.kit.egress import Answer, EgressFailed, EgressTimeout, EgressTooLarge
from pointsman.kit.signing import signature_headers
from pointsman.llm.port import Spend, Usage

GROUP = "pointsman.engines"
_CALL = "custom"
_BUSY = {408, 425, 429}


def make(engine: ExecutionEngine, parts: Parts) -> Engine:
    """The engine that the row names. Raises EngineNotInstalled."""
    handler = read_handler(engine.type, engine.handler_config)
    assert isinstance(handler, Custom)
    if handler.endpoint is not None:
        return EndpointEngine(handler, handler.endpoint, parts)
    return _installed(handler.entry_point or "", handler.options)


def _installed(name: str, options: dict[str, Any]) -> Engine:
    found = next(iter(importlib.metadata.entry_points(group=GROUP, name=name)), None)
    if found is None:
        known = sorted(entry.name for entry in importlib.metadata.entry_points(group=GROUP))
        raise EngineNotInstalled(
            f"No installed package has the entry point {name!r} of the group {GROUP}.",
            hint=f"Install it where the workers run. There are: {', '.join(known) or 'none'}.",
        )
    return found.load()(options)


class EndpointEngine:
    """The port `Engine`: one request for each job, however often it has to be repeated, answered when the work is done."""

    def __init__(self, handler: Custom, endpoint: Endpoint, parts: Parts) -> None:
        self._handler = handler
        self._endpoint = endpoint
        self._parts = parts

    async def run(self, work: Work) -> Outcome:
        """Send the job, signed, and take the answer. Raises EngineFailed where the endpoint is away or says that it is."""
        permit = await work.permit(_CALL, _CALL, work.prompt, {"prompt": work.prompt})
        if permit.verdict == "deny":
            return _failed(f"denied: {permit.reason}")
        if permit.verdict == "ask":
            return Asks((permit.approval_id,) if permit.approval_id else (), work.checkpoint)
        began = time.monotonic()
        message_id, epoch = await self._identity(work)
        answer = await self._send(work, message_id, str(permit.args.get("prompt", work.prompt)))
        if answer.status >= 300:
            return _failed(
                f"invalid: the endpoint answered with status {answer.status}: {plain(answer.body[:300].decode(errors='replace'))}"
            )
        return await self._answered(work, answer, began, epoch)

    async def _identity(self, work: Work) -> tuple[str, int]:
        """The same for every attempt of the job, so that the endpoint recognises a repetition."""
        known = work.checkpoint.get("message")
        if known is not None:
            return known["id"], known["epoch"]
        known = {"id": f"pm-{work.job_id}-{work.epoch}", "epoch": work.epoch}
        async with self._parts.db.transaction() as connection:
            if not await remember(connection, uuid.UUID(work.job_id), work.epoch, {**work.checkpoint, "message": known}):
                raise TargetFailed("The job is another attempt's by now.")
        return f"pm-{work.job_id}-{work.epoch}", work.epoch

    async def _send(self, work: Work, message_id: str, prompt: str) -> Answer:
        endpoint, secrets = self._endpoint, self._parts.settings.secrets
        body = json.dumps(_told(work, prompt, self._handler.options)).encode()
        given = {name: reveal(value, secrets) if isinstance(value, SecretRef) else value for name, value in endpoint.headers.items()}
        signed = signature_headers([reveal(endpoint.secret, secrets)], message_id, int(time.time()), body)
        headers = {"Content-Type": "application/json", **given, **signed}
        try:
            answer = await self._parts.trusted.request(
                "POST", endpoint.url, headers=headers, body=body, timeout=timedelta(seconds=endpoint.timeout)
            )
        except (EgressFailed, EgressTimeout, EgressTooLarge) as problem:
            raise EngineFailed(f"The endpoint: {problem.detail}") from problem
        if answer.status in _BUSY or answer.status >= 500:
            raise EngineFailed(f"The endpoint answered with status {answer.status}.")
        return answer

    async def _answered(self, work: Work, answer: Answer, began: float, epoch: int) -> Outcome:
        try:
            told = answer.json()
        except EgressFailed as problem:
            return _failed(f"invalid: {problem.detail}")
        spending = Spending(self._parts.db, self._parts.budgets, work, epoch=epoch)
        usage = Usage(prompt_tokens=number_at(told, "usage.prompt_tokens"), completion_tokens=number_at(told, "usage.completion_tokens"))
        took = round((time.monotonic() - began) * 1000)
        if usage.total_tokens:
            model = text_at(told, "usage.model") or "custom"
            await spending.record([Spend(model if ":" in model else f"{work.provider}:{model}", usage, took)])
        output, status = plain(text_at(told, "output")), text_at(told, "status")
        if output:
            work.output(output)
        result: dict[str, Any] = {
            "status": status,
            "output": output,
            "files_changed": [],
            "usage": spending.spent.read(),
            "duration_ms": took,
        }
        further = cast("dict[str, Any]", told).get("result") if isinstance(told, dict) else None
        result |= {} if further is None else {"result": further}
        if status == "completed":
            return Done(result)
        if status != "failed":
            return _failed("invalid: the endpoint's answer has no status `completed` or `failed`")
        reason = f"model: {plain(text_at(told, 'error'))[:2000] or 'the endpoint says that it failed'}"
        return Failed(reason, result | {"error": reason})


def _told(work: Work, prompt: str, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "job.execute",
        "job_id": work.job_id,
        "epoch": work.epoch,
        "run_id": work.run_id,
        "tenant_id": work.tenant_id or None,
        "user_id": work.user_id,
        "agent_id": work.agent_id,
        "prompt": prompt,
        "job_spec": work.spec.model_dump(mode="json"),
        "worker_config": work.worker.model_dump(mode="json", exclude={"mcp_servers"}),
        "options": options,
    }


def _failed(reason: str) -> Failed:
    return Failed(reason, {"status": "failed", "output": "", "files_changed": [], "error": reason})
