"""How a cluster is reached: a server with a token, a kubeconfig that is read here, or what the worker's own pod was given.

A kubeconfig may name programs to run and files to read. Nothing of that is done: what stands in it must be all there is to it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config  # pyright: ignore[reportUnknownVariableType] - untyped

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.secrets import Secrets, reveal

_USED = {"token", "client-certificate-data", "client-key-data"}
_INLINE = "Make one with `kubectl config view --minify --flatten --raw`, for a service account's token or a certificate."


def configuration(connection: KubernetesConnection, secrets: Secrets, held: ExitStack) -> Configuration:
    """What the library needs to know. `held` keeps the certificates' files, which have no names. Raises TargetFailed."""
    if connection.kubeconfig is not None:
        return _from_kubeconfig(reveal(connection.kubeconfig, secrets), connection.context, held)
    made = Configuration()
    if connection.in_cluster:
        try:
            load_incluster_config(made)
        except ConfigException as error:
            detail = f"This worker runs in no pod of a cluster: {error}".rstrip(".")
            raise TargetFailed(f"{detail}.", hint="Set `server` and `token`, or `kubeconfig`, instead of `in_cluster`.") from None
        return made
    assert connection.token is not None
    made.host = (connection.server or "").rstrip("/")
    made.api_key = {"BearerToken": f"Bearer {reveal(connection.token, secrets).strip()}"}
    made.ssl_ca_cert = _file(connection.ca.encode(), held) if connection.ca else None
    return made


def _from_kubeconfig(text: str, context: str | None, held: ExitStack) -> Configuration:
    read = _mapping(text)
    name = context or read.get("current-context")
    chosen: dict[str, Any] = _named(read, "contexts", name).get("context") or {}
    cluster: dict[str, Any] = _named(read, "clusters", chosen.get("cluster")).get("cluster") or {}
    user: dict[str, Any] = _named(read, "users", chosen.get("user")).get("user") or {}
    if unknown := sorted(set(user) - _USED):
        raise TargetFailed(f"The kubeconfig's user has `{unknown[0]}`, which is not used here: no program is run for it.", hint=_INLINE)
    if unknown := sorted(set(cluster) - {"server", "certificate-authority-data", "tls-server-name", "extensions"}):
        raise TargetFailed(f"The kubeconfig's cluster has `{unknown[0]}`, which is not used here.", hint=_INLINE)
    made = Configuration()
    made.host = str(cluster.get("server") or "").rstrip("/")
    if not made.host.startswith("https://"):
        raise TargetFailed("The kubeconfig's cluster has no `server` that begins with https://.", hint=_INLINE)
    made.tls_server_name = cluster.get("tls-server-name")
    if user.get("token"):
        made.api_key = {"BearerToken": f"Bearer {user['token']}"}
    made.ssl_ca_cert = _data(cluster, "certificate-authority-data", held)
    made.cert_file, made.key_file = (_data(user, f"client-{name}-data", held) for name in ("certificate", "key"))
    return made


def _mapping(text: str) -> dict[str, Any]:
    try:
        read: object = yaml.safe_load(text)
    except yaml.YAMLError:
        read = None
    if not isinstance(read, dict):
        raise TargetFailed("The secret that `kubeconfig` names holds no kubeconfig.", hint=_INLINE)
    return cast("dict[str, Any]", read)


def _named(read: Mapping[str, Any], kind: str, name: object) -> dict[str, Any]:
    entries = cast("Sequence[Any]", read.get(kind) or [])
    for entry in entries:
        if isinstance(entry, dict) and cast("dict[str, Any]", entry).get("name") == name:
            return cast("dict[str, Any]", entry)
    raise TargetFailed(f"The kubeconfig has none among its {kind} that is called {str(name)[:100]!r}.", hint=_INLINE)


def _data(entry: Mapping[str, Any], name: str, held: ExitStack) -> str | None:
    if not entry.get(name):
        return None
    try:
        return _file(base64.b64decode(str(entry[name]), validate=True), held)
    except binascii.Error:
        raise TargetFailed(f"The kubeconfig's `{name}` is not in base64.", hint=_INLINE) from None


def _file(content: bytes, held: ExitStack) -> str:
    """The library reads certificates from files alone; this one is in memory and has no name."""
    number = os.memfd_create("certificate")
    held.callback(os.close, number)
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(content)
    return f"/proc/self/fd/{number}"
