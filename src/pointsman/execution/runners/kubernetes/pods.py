"""What the status of a pod says: that it runs, why it never will, or how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.execution.ports import OutOfMemory
from pointsman.execution.runners.kubernetes.manifests import CONTAINER

# What a container waits for in vain.
_HOPELESS = {
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_OVER = {"Failed", "Succeeded", "Unknown"}


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether commands can be run in it."""
    going = pod["metadata"].get("deletionTimestamp") is not None
    return pod["status"].get("phase") == "Running" and not going and "running" in _state(pod)


def why_not(pod: Mapping[str, Any]) -> str | None:
    """Why it runs nothing any more or never will; None where it runs or may yet run."""
    status: dict[str, Any] = pod["status"]
    waiting: dict[str, Any] = _state(pod).get("waiting") or {}
    if waiting.get("reason") in _HOPELESS:
        return _said("its container does not start", waiting)
    if status.get("reason"):
        return _said("it was ended by the cluster", status)
    if (ended := _state(pod).get("terminated")) is not None:
        return _said(f"its container ended with {ended.get('exitCode')}", ended)
    if status.get("phase") in _OVER:
        return _said("it ended", status)
    if pod["metadata"].get("deletionTimestamp") is not None:
        return "somebody removed it"
    return None


def still_waiting(pod: Mapping[str, Any] | None) -> str:
    """What a pod waits for that has not started yet."""
    if pod is None:
        return "the cluster made no pod for the job"
    waiting: dict[str, Any] | None = _state(pod).get("waiting")
    if waiting:
        return _said("its container waits", waiting)
    conditions: list[dict[str, Any]] = pod["status"].get("conditions") or []
    scheduling = next((one for one in conditions if one.get("type") == "PodScheduled" and one.get("status") == "False"), None)
    return _said("it has no node", scheduling) if scheduling else "its node has not started it"


def memory_evidence(pod: Mapping[str, Any]) -> OutOfMemory | None:
    """The cluster's own word that a memory limit ended the container; an exit code proves nothing."""
    ended: dict[str, Any] = _state(pod).get("terminated") or {}
    if ended.get("reason") != "OOMKilled":
        return None
    return OutOfMemory(
        "kubernetes.OOMKilled", f"The container ended with exit code {ended.get('exitCode')}, and the cluster says OOMKilled."
    )


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether its status already says how its container ended."""
    return "terminated" in _state(pod) or pod["status"].get("phase") in _OVER


def _state(pod: Mapping[str, Any]) -> dict[str, Any]:
    statuses: list[dict[str, Any]] = pod["status"].get("containerStatuses") or []
    state: dict[str, Any] | None = next((one.get("state") for one in statuses if one.get("name") == CONTAINER), None)
    return state or {}


def _said(what: str, source: Mapping[str, Any]) -> str:
    told = ": ".join(str(source[name]).strip() for name in ("reason", "message") if source.get(name))
    return f"{what} ({told[:600]})" if told else what
