"""The end of a sandbox: its Job and its pod, whatever there is of them."""

from __future__ import annotations

import asyncio

from pointsman.execution.errors import TargetFailed
from pointsman.execution.runners.kubernetes.cluster import NOT_FOUND, Cluster, Refused
from pointsman.execution.runners.kubernetes.manifests import HANDLE

# Without grace: a pod on a node that is lost would wait for it for ever.
_AT_ONCE = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
_LOOKS = 40
_PAUSE = 0.05


async def remove(cluster: Cluster, handle: str) -> None:
    """Remove a sandbox's Job and see its pods go; those that do not go with it are removed one by one. Repeatable. Raises TargetFailed."""
    async with cluster.handle_errors(f"The sandbox {handle} was not removed"):
        await _delete(cluster, f"{cluster.jobs}/{handle}")
        for look in range(_LOOKS):
            pods = await cluster.listed(cluster.pods, f"{HANDLE}={handle}")
            if not pods:
                return
            if look == _LOOKS // 8:
                for pod in pods:
                    await _delete(cluster, f"{cluster.pods}/{pod['metadata']['name']}")
            await asyncio.sleep(_PAUSE)
    raise TargetFailed(f"The pod of the sandbox {handle} does not go.", hint="Look at it with `kubectl describe pod`.")


async def _delete(cluster: Cluster, path: str) -> None:
    try:
        await cluster.ask("DELETE", path, body=_AT_ONCE)
    except Refused as refusal:
        if refusal.status != NOT_FOUND:
            raise
