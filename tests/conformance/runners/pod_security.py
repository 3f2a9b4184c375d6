"""The rules of Kubernetes' Pod Security Standard `restricted`, with those of `baseline` that it includes, as checks of a pod's spec.

Written down from the standard's own table: https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Spec = dict[str, Any]
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_APPARMOR = {"RuntimeDefault", "Localhost"}
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(pod: Spec) -> list[str]:
    """The names of the controls that this pod's spec does not fulfil."""
    return [name for name, is_kept in CONTROLS.items() if not is_kept(pod)]


def containers(pod: Spec) -> list[Spec]:
    """Of every kind."""
    return [one for kind in ("containers", "initContainers", "ephemeralContainers") for one in pod.get(kind, [])]


def _contexts(pod: Spec) -> list[Spec]:
    return [one.get("securityContext", {}) for one in containers(pod)]


def _all_contexts(pod: Spec) -> list[Spec]:
    return [pod.get("securityContext", {}), *_contexts(pod)]


def _in_effect(pod: Spec, name: str) -> list[Any]:
    """A field as each container has it: its own, else the pod's."""
    return [context.get(name, pod.get("securityContext", {}).get(name)) for context in _contexts(pod)]


def _drops_all(context: Spec) -> bool:
    capabilities = context.get("capabilities", {})
    return "ALL" in capabilities.get("drop", []) and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}


CONTROLS: dict[str, Callable[[Spec], bool]] = {
    # baseline
    "HostProcess": lambda pod: not any(one.get("windowsOptions", {}).get("hostProcess") for one in _all_contexts(pod)),
    "Host namespaces": lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
    "Privileged containers": lambda pod: not any(one.get("privileged") for one in _contexts(pod)),
    "HostPath volumes": lambda pod: not any("hostPath" in one for one in pod.get("volumes", [])),
    "Host ports": lambda pod: not any(port.get("hostPort") for one in containers(pod) for port in one.get("ports", [])),
    "AppArmor": lambda pod: all(one.get("appArmorProfile", {}).get("type", "RuntimeDefault") in _APPARMOR for one in _all_contexts(pod)),
    "SELinux": lambda pod: all(
        (options := one.get("seLinuxOptions", {})).get("type", "") in _SELINUX and not options.get("user") and not options.get("role")
        for one in _all_contexts(pod)
    ),
    "/proc mount type": lambda pod: all(one.get("procMount", "Default") == "Default" for one in _contexts(pod)),
    "Sysctls": lambda pod: all(one["name"] in _SYSCTLS for one in pod.get("securityContext", {}).get("sysctls", [])),
    # restricted
    "Volume types": lambda pod: all(set(one) - {"name"} <= _VOLUMES for one in pod.get("volumes", [])),
    "Privilege escalation": lambda pod: all(one.get("allowPrivilegeEscalation") is False for one in _contexts(pod)),
    "Running as non-root": lambda pod: all(one is True for one in _in_effect(pod, "runAsNonRoot")),
    "Running as non-root user": lambda pod: all(one.get("runAsUser") != 0 for one in _all_contexts(pod)),
    "Seccomp": lambda pod: all((one or {}).get("type") in _SECCOMP for one in _in_effect(pod, "seccompProfile")),
    "Capabilities": lambda pod: all(map(_drops_all, _contexts(pod))),
}
