"""The connection to one cluster: opened when it is first needed, its failures told as those of the target."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast
from urllib.parse import quote, urlencode

from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.exceptions import ApiException

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.runners.kubernetes.access import configuration
from pointsman.execution.runners.kubernetes.manifests import CONTAINER
from pointsman.execution.secrets import Secrets
from pointsman.kit.egress.failures import HttpFailed

NOT_FOUND, CONFLICT = 404, 409
_UNAUTHORIZED, _FORBIDDEN, _INVALID, _TOO_MANY = 401, 403, 422, 429
_ANSWER = 20.0
_HEARTBEAT = 30.0  # seconds between questions whether the other end of an exec is still there
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class Refused(Exception):  # noqa: N818 - an answer of the cluster's, which callers judge before it becomes a failure
    """The API server's answer was a refusal, with its HTTP status and its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Cluster:
    """A cluster's API, as seen by one target. `handle_errors` is how every call is made."""

    def __init__(self, connection: KubernetesConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._secrets = secrets
        self._opened: ApiClient | None = None
        self._held = ExitStack()
        self.jobs = f"/apis/batch/v1/namespaces/{connection.namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{connection.namespace}/pods"
        self.events = f"/api/v1/namespaces/{connection.namespace}/events"
        self.policies = f"/apis/networking.k8s.io/v1/namespaces/{connection.namespace}/networkpolicies"

    @property
    def address(self) -> str:
        """Where the API server is."""
        return str(self._client().configuration.host)

    async def ask(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One call and its answer. Raises Refused, and what `handle_errors` makes of a server that does not answer."""
        url = f"{self.address}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            asked = cast("Any", self._client().rest_client)  # the library has no types
            answer = await asked.request(method, url, headers=await self._headers(), body=body)
        except ApiException as error:
            raise Refused(int(error.status or 0), _message(error.body) or str(error.reason)) from None
        return json.loads(answer.data)

    async def listed(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        """What there is of a kind. Raises as `ask`."""
        return (await self.ask("GET", path, query={"labelSelector": selector} if selector else None))["items"]

    @asynccontextmanager
    async def exec(self, pod: str, command: Sequence[str]) -> AsyncGenerator[Any]:
        """The websocket of a command in a pod: frames that begin with their channel's number. Raises HttpFailed where it is refused."""
        query = [
            *(("command", word) for word in command),
            ("container", CONTAINER),
            *((name, "true") for name in ("stdin", "stdout", "stderr")),
        ]
        url = f"{self.address}{self.pods}/{quote(pod)}/exec?{urlencode(query)}".replace("http", "ws", 1)
        session = self._client().rest_client.pool_manager
        connecting = session.ws_connect(
            url, headers=await self._headers(), protocols=_PROTOCOLS, heartbeat=_HEARTBEAT, server_hostname=self._tls_name()
        )
        async with connecting as socket:
            yield socket

    @asynccontextmanager
    async def handle_errors(self, what: str, *, seconds: float | None = _ANSWER) -> AsyncGenerator[None]:
        """Calls within must be answered in time. Raises TargetFailed, beginning with `what`."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except Refused as refusal:
            raise self._told(what, refusal) from refusal
        except TimeoutError:
            raise TargetFailed(f"{what}: the cluster gave no answer within {seconds:g} s.", hint="Is its API server well?") from None
        except ssl.SSLError as error:
            raise TargetFailed(
                f"{what}: {error.reason or error}.", hint="`ca` is the certificate authority of `server`, in PEM."
            ) from error
        except (HttpFailed, OSError, ValueError) as error:
            hint = f"Does this worker reach {self._connection.server or 'the cluster'}? `connection_config` says where it is."
            raise TargetFailed(f"{what}: {error or type(error).__name__}.", hint=hint) from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
        self._held.close()

    def _client(self) -> ApiClient:
        if self._opened is None:
            self._opened = ApiClient(configuration(self._connection, self._secrets, self._held))
        return self._opened

    def _tls_name(self) -> str | None:
        return self._client().configuration.tls_server_name

    async def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "pointsman"}
        await self._client().update_params_for_auth(headers, [], ["BearerToken"])  # pyright: ignore[reportUnknownMemberType] - as above
        return headers

    def _told(self, what: str, refusal: Refused) -> TargetFailed:
        namespace = self._connection.namespace
        hint = {
            _UNAUTHORIZED: "The token or certificate is not valid any more: set the secret anew.",
            _FORBIDDEN: f"The namespace's quota is used up, or the account lacks a right in {namespace!r}: the guide lists them.",
            NOT_FOUND: f"Is there a namespace {namespace!r}?",
            CONFLICT: "Another sandbox of this name is there or is going.",
            _INVALID: "The cluster takes no such pod: look at the target's image, runtime class and node selector.",
            _TOO_MANY: "The cluster has too much to do; the job is tried again.",
        }.get(refusal.status, "Look at the log of the cluster's API server.")
        return TargetFailed(f"{what}: {refusal.message.rstrip('.')} ({refusal.status}).", hint=hint)


def _message(body: object) -> str:
    """What a refusal says: a Status of Kubernetes, or the text of something before it."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(cast("dict[str, Any]", json.loads(text))["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]
