"""What an attempt comes to: the one table from outcomes, problems and interruptions to how the attempt ends."""

from __future__ import annotations

import socket
from typing import Any, Literal

import structlog

from pointsman.breakers.errors import CircuitOpen
from pointsman.execution.attempt import Attempt
from pointsman.execution.ports import Asks, Done, Failed, Outcome, RanOut
from pointsman.jobs.rows import Claimed, Finish
from pointsman.kit import json_text
from pointsman.kit.problems import Kind, Problem

End = Literal["timeout", "cancelled", "gone", "handed_over"]
"""Why the engine was told to end."""

# Whose fault it is not: then another attempt is made. Everything else is wrong with the job itself, and stays so.
PASSING = {Kind.UPSTREAM, Kind.UPSTREAM_TIMEOUT, Kind.UNAVAILABLE, Kind.LIMITED, Kind.INTERNAL}

log = structlog.get_logger()


def conclude(
    claimed: Claimed, attempt: Attempt | None, end: End | None, outcome: Outcome | BaseException, left: bytes | None = None
) -> Finish:
    """How the attempt ends. `end` says why it was interrupted; an outcome that is there all the same counts where it was only stopped."""
    where = _where(attempt)
    if end == "handed_over" and not isinstance(outcome, BaseException):
        end = None
    match end:
        case "timeout":
            return _failed(claimed, f"timeout: it was not done within {claimed.seconds:g} s", where)
        case "cancelled":
            return _failed(claimed, "cancelled: somebody cancelled it", where)
        case "handed_over" | "gone":
            return Finish(claimed, "handed_over", reason="lost: its worker was stopped", **where)
        case None:
            return _concluded(claimed, outcome, where | {"left": left})


def _concluded(claimed: Claimed, outcome: Outcome | BaseException, where: dict[str, Any]) -> Finish:
    match outcome:
        case Done() | Failed() | RanOut():
            return _done(claimed, outcome, where)
        case Asks(_, checkpoint, workspace):
            return Finish(claimed, "asks", checkpoint=json_text.encode(checkpoint), workspace=workspace, **where)
        case CircuitOpen():
            return Finish(claimed, "circuit_open", reason=_sentence(outcome), retry_at=outcome.retry_at, **where)
        case Problem() if outcome.kind not in PASSING:
            return _failed(claimed, _sentence(outcome), where)
        case Problem():
            return Finish(claimed, "broke", reason=_sentence(outcome), **where)
        case _:
            # A defect, or a library below the engine that cancelled it: nobody here has.
            log.error("engine.broke", handle=claimed.handle, engine_id=claimed.engine_id, exc_info=outcome)
            return Finish(claimed, "broke", reason=f"internal: {type(outcome).__name__}", **where)


def _done(claimed: Claimed, outcome: Done | Failed | RanOut, where: dict[str, Any]) -> Finish:
    peak, code = outcome.result.get("peak_memory_mb"), outcome.result.get("exit_code")
    told: dict[str, Any] = {**where, "result": json_text.encode(outcome.result), "exit_code": code if isinstance(code, int) else None}
    if isinstance(peak, int):
        told["peak_memory_mb"] = peak
    match outcome:
        case Done():
            return Finish(claimed, "done", **told)
        case Failed(reason):
            return Finish(claimed, "failed", reason=reason, **told)
        case RanOut(evidence, most):
            proof = json_text.encode({"source": evidence.source, "detail": evidence.detail})
            told["peak_memory_mb"] = most if most is not None else told.get("peak_memory_mb")
            return Finish(claimed, "ran_out", reason=f"oom: {evidence.source}: {evidence.detail}", evidence=proof, **told)


def _failed(claimed: Claimed, reason: str, where: dict[str, Any]) -> Finish:
    return Finish(claimed, "failed", reason=reason, result=json_text.encode({"status": "failed", "error": reason}), **where)


def _where(attempt: Attempt | None) -> dict[str, Any]:
    sandbox = attempt.opened if attempt is not None else None
    if attempt is None or sandbox is None:
        return {"host": socket.gethostname()}
    return {"host": sandbox.host, "container_id": sandbox.container_id, "peak_memory_mb": attempt.peak_memory_mb}


def _sentence(problem: Problem) -> str:
    return f"{problem.code}: {problem.detail}"
