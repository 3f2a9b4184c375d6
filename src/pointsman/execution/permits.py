"""What a worker's permissions say beforehand, without asking anybody."""

from __future__ import annotations

from pointsman.execution.allowance import matches
from pointsman.jobs.worker_config import Permissions


def denied_by(permissions: Permissions, tool: str, argument: str) -> str:
    """Why a call is denied whatever anybody approves, as a part of a sentence; empty where it is not."""
    pattern = next((pattern for pattern in permissions.deny if matches(pattern, tool, argument)), None)
    return "" if pattern is None else f"permissions.deny has {pattern}"
