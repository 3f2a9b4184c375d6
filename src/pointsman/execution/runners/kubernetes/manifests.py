"""What a sandbox is to Kubernetes: a Job whose one pod fulfils the restricted Pod Security profile and may do nothing but compute."""

from __future__ import annotations

from typing import Any

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.ports import SandboxSpec

WORKSPACE = "/workspace"
CONTAINER = "sandbox"
HANDLE = "pointsman.handle"
NETWORK = "pointsman.network"

# Its first process cannot be killed from within its own process namespace, so "kill everything" ends all commands and leaves the container.
_KEEP = ["/bin/sh", "-c", "while :; do sleep 86400; done"]
_LONGEST = 24 * 60  # minutes that any job may have
_GRACE = 5 * 60
_KEPT = 5 * 60  # seconds in which the end of a pod can be asked for, where nobody removed it


def job_manifest(spec: SandboxSpec, connection: KubernetesConnection) -> dict[str, Any]:
    """The body of `POST …/jobs`. It holds no variable of the job's: those go in with each command, past the cluster's records."""
    labels = pod_labels(spec)
    longest = connection.policy.max_runtime_minutes or _LONGEST
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": spec.handle, "namespace": connection.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,  # attempts are counted by the gateway
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": int(longest * 60) + _GRACE,
            "ttlSecondsAfterFinished": _KEPT,
            "template": {"metadata": {"labels": labels}, "spec": _pod(spec, connection)},
        },
    }


def pod_labels(spec: SandboxSpec) -> dict[str, str]:
    """What the sandbox's Job and pod are found by, and what a NetworkPolicy selects."""
    job, _, epoch = spec.handle.removeprefix("pm-").rpartition("-")
    return {
        "app.kubernetes.io/managed-by": "pointsman",
        HANDLE: spec.handle,
        "pointsman.job": job,
        "pointsman.epoch": epoch,
        NETWORK: "granted" if spec.network else "none",
    }


def _pod(spec: SandboxSpec, connection: KubernetesConnection) -> dict[str, Any]:
    size = f"{spec.disk_mb}Mi"
    chosen = {
        "runtimeClassName": connection.runtime_class,
        "serviceAccountName": connection.service_account,
        "nodeSelector": connection.node_selector or None,
        "tolerations": [one.model_dump(exclude_none=True) for one in connection.tolerations] or None,
        "hostUsers": False if connection.user_namespaces else None,
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "shareProcessNamespace": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": connection.user,
            "runAsGroup": connection.user,
            "fsGroup": connection.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, connection)],
        "volumes": [{"name": name, "emptyDir": {"sizeLimit": size}} for name in ("workspace", "tmp")],
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _container(spec: SandboxSpec, connection: KubernetesConnection) -> dict[str, Any]:
    limits = {
        "memory": f"{spec.memory_mb}Mi",
        "cpu": f"{max(1, int(spec.cpus * 1000))}m",
        "ephemeral-storage": f"{2 * spec.disk_mb}Mi",  # of both folders together
    }
    return {
        "name": CONTAINER,
        "image": connection.image,
        "command": _KEEP,
        "workingDir": WORKSPACE,
        "resources": {"requests": limits, "limits": limits},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": connection.user,
            "runAsGroup": connection.user,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the sandbox's own
        ],
    }
