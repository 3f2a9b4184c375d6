"""How supervised work sounds in a terminal: what the leader decided, its jobs, and what waits for a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pointsman.client import Event

_SHORT = 8  # characters of a job's id, as people tell them apart


def told_of(event: Event) -> str | None:
    """A line on what an event means for the work; None where it is about something else."""
    if event.name == "message.completed" and "classification" not in event.data:
        return None
    tell = _TELLING.get(event.name)
    return None if tell is None else tell(event.data)


def output_of(event: Event) -> str | None:
    """What a job printed, where that is what an event is about."""
    return str(event.data.get("text", "")) if event.name == "job.output" else None


def _decided(classified: Mapping[str, Any]) -> str:
    jobs = len(classified["jobs"])
    work = f"{jobs} job{'s' if jobs != 1 else ''} for {classified['worker_type']}" if jobs else "no job"
    review = ", asks a person first" if classified["requires_human_review"] else ""
    return f"{classified['classification']}, {classified['risk_level']} risk{review}, {work}: {classified['rationale']}"


def _job(data: Mapping[str, Any]) -> str:
    return f"job {str(data.get('job_id', ''))[:_SHORT]}"


def _because(data: Mapping[str, Any]) -> str:
    return f" ({data['reason']})" if data.get("reason") else ""


def _where(data: Mapping[str, Any]) -> str:
    place = data.get("target_id")
    return f" on {place} with {data.get('engine_id')}" if place else ""


def _args(data: Mapping[str, Any]) -> str:
    return json.dumps(data.get("tool_args", {}), ensure_ascii=False)


def _asking(data: Mapping[str, Any]) -> str:
    who = _job(data) if data.get("job_id") else "the run"
    how = f" (pointsman approvals approve {data['id']}, or deny)" if data.get("id") else ""
    return f"{who} asks for {data.get('tool_name', 'a tool')}: {_args(data)}{how}"


_TELLING: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "message.completed": lambda data: _decided(data["classification"]),
    "job.queued": lambda data: f"{_job(data)} is queued{_because(data)}",
    "job.started": lambda data: f"{_job(data)} runs{_where(data)}",
    "job.finished": lambda data: f"{_job(data)} {data['status']}{_because(data)}",
    "approval.requested": _asking,
    "approval.decided": lambda data: f"{data.get('status', 'decided')} by {data.get('decided_by') or 'nobody in time'}",
}
