"""The manifest of a sandbox, control by control: the restricted Pod Security profile, and what this gateway adds to it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.conformance.runners.pod_security import CONTROLS, violations

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.ports import SandboxSpec
from pointsman.execution.runners.kubernetes.channels import exit_code
from pointsman.execution.runners.kubernetes.manifests import job_manifest, pod_labels
from pointsman.execution.runners.kubernetes.policies import deny_all
from pointsman.execution.runners.kubernetes.scripts import opening, run

SPEC = SandboxSpec("pm-0b7f-3", memory_mb=256, cpus=1.5, disk_mb=64, env={"TOKEN_OF_JOB": "s3cret"})


def connection(**config: Any) -> KubernetesConnection:
    return KubernetesConnection.model_validate({"image": "debian:13", "in_cluster": True, "namespace": "jobs"} | config)


def job(**config: Any) -> dict[str, Any]:
    return job_manifest(SPEC, connection(**config))


def pod(**config: Any) -> dict[str, Any]:
    return job(**config)["spec"]["template"]["spec"]


def found(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree[int(name)] if name.isdigit() else tree[name]
    return tree


# Each control, and the field of the Job that fulfils it.
FIELDS: dict[str, Any] = {
    "metadata.name": "pm-0b7f-3",
    "metadata.namespace": "jobs",
    "spec.backoffLimit": 0,
    "spec.activeDeadlineSeconds": 24 * 3600 + 300,
    "spec.ttlSecondsAfterFinished": 300,
    "spec.template.spec.restartPolicy": "Never",
    "spec.template.spec.terminationGracePeriodSeconds": 0,
    "spec.template.spec.automountServiceAccountToken": False,
    "spec.template.spec.enableServiceLinks": False,
    "spec.template.spec.hostNetwork": False,
    "spec.template.spec.hostPID": False,
    "spec.template.spec.hostIPC": False,
    "spec.template.spec.shareProcessNamespace": False,
    "spec.template.spec.securityContext.runAsNonRoot": True,
    "spec.template.spec.securityContext.runAsUser": 64123,
    "spec.template.spec.securityContext.runAsGroup": 64123,
    "spec.template.spec.securityContext.seccompProfile": {"type": "RuntimeDefault"},
    "spec.template.spec.containers.0.image": "debian:13",
    "spec.template.spec.containers.0.securityContext.privileged": False,
    "spec.template.spec.containers.0.securityContext.allowPrivilegeEscalation": False,
    "spec.template.spec.containers.0.securityContext.capabilities": {"drop": ["ALL"]},
    "spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem": True,
    "spec.template.spec.containers.0.securityContext.runAsNonRoot": True,
    "spec.template.spec.containers.0.resources.limits": {"memory": "256Mi", "cpu": "1500m", "ephemeral-storage": "128Mi"},
    "spec.template.spec.containers.0.resources.requests": {"memory": "256Mi", "cpu": "1500m", "ephemeral-storage": "128Mi"},
    "spec.template.spec.volumes.0": {"name": "workspace", "emptyDir": {"sizeLimit": "64Mi"}},
    "spec.template.spec.volumes.1": {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
}


@pytest.mark.parametrize("path", FIELDS)
def test_each_control_is_fulfilled_by_its_field(path: str) -> None:
    assert found(job(), path) == FIELDS[path]


def test_job_and_pod_are_found_by_the_same_labels() -> None:
    made = job()
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    labels = made["metadata"]["labels"]
    assert (labels["pointsman.handle"], labels["pointsman.job"], labels["pointsman.epoch"]) == ("pm-0b7f-3", "0b7f", "3")


def test_the_pod_fulfils_the_restricted_profile() -> None:
    assert violations(pod()) == []
    assert violations(pod(runtime_class="gvisor", user_namespaces=True, service_account="x", tolerations=[{"key": "jobs"}])) == []


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        before, _, name = path.rpartition(".")
        found(spec, before)[name] = value

    return change


BREACHES: dict[str, Callable[[dict[str, Any]], None]] = {
    "Host namespaces": lambda spec: spec.update(hostPID=True),
    "Privileged containers": _set("containers.0.securityContext.privileged", value=True),
    "HostPath volumes": lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "Host ports": lambda spec: spec["containers"][0].update(ports=[{"hostPort": 80}]),
    "AppArmor": _set("securityContext.appArmorProfile", {"type": "Unconfined"}),
    "SELinux": _set("securityContext.seLinuxOptions", {"user": "root"}),
    "/proc mount type": _set("containers.0.securityContext.procMount", "Unmasked"),
    "Sysctls": _set("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "HostProcess": _set("securityContext.windowsOptions", {"hostProcess": True}),
    "Volume types": lambda spec: spec["volumes"].append({"name": "x", "nfs": {"server": "x"}}),
    "Privilege escalation": lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "Running as non-root": _set("containers.0.securityContext.runAsNonRoot", value=False),
    "Running as non-root user": _set("containers.0.securityContext.runAsUser", 0),
    "Seccomp": _set("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
    "Capabilities": _set("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_the_checks_see_a_breach_of_each_control(control: str) -> None:
    broken = copy.deepcopy(pod())
    BREACHES[control](broken)
    assert control in violations(broken)


def test_what_the_operator_chooses_is_in_the_pod_and_nothing_else() -> None:
    plain = pod()
    assert not {"runtimeClassName", "serviceAccountName", "nodeSelector", "tolerations", "hostUsers"} & plain.keys()
    chosen = pod(
        runtime_class="gvisor",
        service_account="jobs",
        node_selector={"pool": "jobs"},
        tolerations=[{"key": "jobs", "operator": "Exists", "effect": "NoSchedule"}],
        user_namespaces=True,
        user=1000,
    )
    assert chosen["runtimeClassName"] == "gvisor"
    assert chosen["serviceAccountName"] == "jobs"
    assert chosen["nodeSelector"] == {"pool": "jobs"}
    assert chosen["tolerations"] == [{"key": "jobs", "operator": "Exists", "effect": "NoSchedule"}]
    assert chosen["hostUsers"] is False
    assert chosen["containers"][0]["securityContext"]["runAsUser"] == 1000


def test_no_word_of_a_job_stands_in_the_manifest_or_the_address_of_an_exec() -> None:
    assert "s3cret" not in str(job())
    command, said = opening(run(["echo", "s3cret"], cwd=".", env={"A": "s3cret"}, mark="ab", stdin=0))
    assert "s3cret" not in str(command)
    assert b"s3cret" in said


_NONE = pod_labels(SPEC)
_DENY = {"podSelector": {"matchLabels": {"pointsman.network": "none"}}, "policyTypes": ["Ingress", "Egress"]}
_ALL = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
_OTHER = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}


@pytest.mark.parametrize(
    ("specs", "is_off"),
    [
        ([], False),
        ([_DENY], True),
        ([_ALL], True),
        ([_DENY, _OTHER], True),
        ([{**_DENY, "policyTypes": ["Egress"]}], False),
        ([{**_DENY, "policyTypes": ["Egress"]}, {"podSelector": {}}], True),
        ([_DENY, {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}], False),
        ([_DENY, {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, "ingress": [{}]}], False),
        ([{**_DENY, "podSelector": {"matchExpressions": [{"key": "pointsman.network", "operator": "In", "values": ["none"]}]}}], True),
        ([{**_DENY, "podSelector": {"matchExpressions": [{"key": "pointsman.network", "operator": "NotIn", "values": ["none"]}]}}], False),
    ],
)
def test_policies_are_read_as_a_network_plugin_reads_them(specs: list[dict[str, Any]], *, is_off: bool) -> None:
    assert deny_all([{"spec": spec} for spec in specs], _NONE) is is_off


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b'{"status":"Success"}', 0),
        (b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}', 42),
        (b'{"status":"Failure","reason":"InternalError","message":"container not found"}', None),
        (b"error: EOF", None),
    ],
)
def test_the_error_channel_tells_how_a_command_ended(status: bytes, code: int | None) -> None:
    assert exit_code(status) == code
