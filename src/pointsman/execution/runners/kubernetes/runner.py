"""A namespace of a Kubernetes cluster as a target."""

from __future__ import annotations

import asyncio
import re
import secrets as random
import time
from collections.abc import Mapping
from typing import Any

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Health, SandboxSpec
from pointsman.execution.runners.asked import require_command, require_handle
from pointsman.execution.runners.kubernetes.cluster import Cluster, Refused
from pointsman.execution.runners.kubernetes.manifests import HANDLE, job_manifest, pod_labels
from pointsman.execution.runners.kubernetes.pods import is_running, still_waiting, why_not
from pointsman.execution.runners.kubernetes.policies import deny_all
from pointsman.execution.runners.kubernetes.removing import remove
from pointsman.execution.runners.kubernetes.sandbox import KubernetesSandbox
from pointsman.execution.secrets import Secrets
from pointsman.kit.problems import Problem

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RIGHTS = (("create", "batch", "jobs", ""), ("delete", "batch", "jobs", ""), ("list", "", "pods", ""), ("create", "", "pods", "exec"))
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between looks at a pod that starts; the last one is repeated
_EVENTS_AFTER = 3  # looks without a pod, before the cluster is asked why


class KubernetesRunner:
    """Sandboxes as Jobs of one namespace, found again by their labels."""

    def __init__(self, connection: KubernetesConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._cluster = Cluster(connection, secrets)

    async def probe(self) -> Health:
        started = time.monotonic()
        try:
            detail = await self._try()
        except Problem as problem:
            return Health("unhealthy", _since(started), f"{problem.detail} {problem.hint}".strip())
        return Health("healthy", _since(started), detail, "container")

    async def open(self, spec: SandboxSpec) -> KubernetesSandbox:
        self._require(spec)
        if not spec.network and not await self._is_cut_off(spec):
            raise SandboxRefused(f"Nothing keeps the pods of namespace {self._connection.namespace!r} from the network.", hint=_POLICY)
        async with self._cluster.handle_errors("The cluster did not make the job"):
            await self._cluster.ask("POST", self._cluster.jobs, body=job_manifest(spec, self._connection))
        try:
            pod = await self._started(spec.handle)
        except BaseException:
            await remove(self._cluster, spec.handle)
            raise
        return KubernetesSandbox(self._cluster, pod, handle=spec.handle, env=spec.env)

    async def reap(self, handle: str) -> None:
        require_handle(handle)
        _require_name(handle)
        await remove(self._cluster, handle)

    async def list_handles(self) -> list[str]:
        async with self._cluster.handle_errors("The cluster did not list its jobs"):
            found = [*await self._cluster.listed(self._cluster.jobs, HANDLE), *await self._cluster.listed(self._cluster.pods, HANDLE)]
        return sorted({one["metadata"]["labels"][HANDLE] for one in found})

    async def aclose(self) -> None:
        await self._cluster.aclose()

    def _require(self, spec: SandboxSpec) -> None:
        require_handle(spec.handle)
        _require_name(spec.handle)
        require_command(["sh"], spec.env)
        if spec.mounts:
            raise SandboxRefused("A Kubernetes target has no mounts.", hint="Put what jobs need into its image.")

    async def _try(self) -> str:
        """Ask for everything that a job needs, without making one. Raises TargetFailed."""
        cluster, namespace = self._cluster, self._connection.namespace
        spec = SandboxSpec(f"pm-probe-{random.token_hex(6)}", memory_mb=64, cpus=0.1, disk_mb=16)
        async with cluster.handle_errors("The cluster did not say what it is"):
            version = (await cluster.ask("GET", "/version")).get("gitVersion")
        for right in _RIGHTS:
            await self._require_right(*right)
        async with cluster.handle_errors("A trial job was not accepted"):
            await cluster.ask("POST", cluster.jobs, query={"dryRun": "All"}, body=job_manifest(spec, self._connection))
        can = f"Kubernetes {version} takes jobs in namespace {namespace}"
        if self._connection.network_policy == "external":
            return f"{can}; what keeps them from the network is not the namespace's own and was not looked at."
        if await self._is_cut_off(spec):
            return f"{can}; a NetworkPolicy keeps them from the network where the cluster's network plugin enforces it."
        if self._connection.network:
            return f"{can}, of those that may use the network alone: {_POLICY}"
        raise TargetFailed(f"Nothing keeps the pods of namespace {namespace!r} from the network, so no job can run there.", hint=_POLICY)

    async def _require_right(self, verb: str, group: str, resource: str, sub: str) -> None:
        asked = {"namespace": self._connection.namespace, "verb": verb, "group": group, "resource": resource, "subresource": sub}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
        async with self._cluster.handle_errors("The cluster did not say what this account may do"):
            answer = await self._cluster.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        if not answer["status"].get("allowed"):
            named = f"{resource}/{sub}" if sub else resource
            raise TargetFailed(
                f"The account may not {verb} {named} in namespace {asked['namespace']!r}.", hint="Give it the Role of the guide to targets."
            )

    async def _is_cut_off(self, spec: SandboxSpec) -> bool:
        if self._connection.network_policy == "external":
            return True
        async with self._cluster.handle_errors("The cluster did not list its network policies"):
            return deny_all(await self._cluster.listed(self._cluster.policies), pod_labels(spec))

    async def _started(self, handle: str) -> Mapping[str, Any]:
        """The pod, once commands can be run in it. Raises TargetFailed where that will not be."""
        until = time.monotonic() + self._connection.start_seconds
        looks = 0
        while True:
            pod = await self._find_pod(handle)
            if pod is not None and is_running(pod):
                return pod
            reason = why_not(pod) if pod is not None else await self._find_refusal(handle) if looks >= _EVENTS_AFTER else None
            if reason is not None:
                raise TargetFailed(f"The pod of {handle} does not run: {reason}.", hint=_STARTING)
            if time.monotonic() > until:
                raise TargetFailed(
                    f"The pod of {handle} did not run within {self._connection.start_seconds} s: {still_waiting(pod)}.", hint=_STARTING
                )
            await asyncio.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1

    async def _find_pod(self, handle: str) -> Mapping[str, Any] | None:
        async with self._cluster.handle_errors("The cluster did not say whether the pod runs"):
            pods = await self._cluster.listed(self._cluster.pods, f"{HANDLE}={handle}")
        return pods[0] if pods else None

    async def _find_refusal(self, handle: str) -> str | None:
        """Why the cluster makes no pod for the job, such as a quota; None where it does not say, or may not be asked."""
        query = {"fieldSelector": f"involvedObject.kind=Job,involvedObject.name={handle}"}
        async with self._cluster.handle_errors("The cluster did not say why it made no pod"):
            try:
                events = (await self._cluster.ask("GET", self._cluster.events, query=query))["items"]
            except Refused:
                return None
        return next((f"{one['reason']}: {one.get('message', '')}" for one in events if one.get("reason") == "FailedCreate"), None)


def _require_name(handle: str) -> None:
    if not _NAME.fullmatch(handle):
        raise SandboxRefused(f"{handle[:100]!r} is no name that Kubernetes takes.", hint="It has at most 63 of a-z, 0-9 and hyphens.")


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


_POLICY = "Apply the NetworkPolicy of the guide; or, where something else does it, set `connection_config.network_policy` to `external`."
_STARTING = "Look at it with `kubectl describe`; `start_seconds` is how long a pod may take."
