"""A remote agent API: its requests as an operator described them, and its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from pointsman.execution.connections import ManagedAgentsConnection
from pointsman.execution.engines.filling import filled, filled_all
from pointsman.execution.errors import TargetFailed
from pointsman.execution.grants import SecretRef
from pointsman.execution.handlers import Call
from pointsman.execution.secrets import reveal
from pointsman.kit.egress import Answer, EgressFailed, EgressTimeout, EgressTooLarge, Trusted

_LONGEST_STREAM = timedelta(days=1)
_BUSY = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class RemoteApi:
    """Where the agents are, and with which headers they are asked."""

    client: Trusted
    url: str
    headers: Mapping[str, str]
    timeout: timedelta

    async def ask(self, call: Call, values: Mapping[str, str], further: Mapping[str, str] | None = None) -> Answer:
        """One request. Raises TargetFailed where the API cannot be asked, or not now; every other answer is a value."""
        method, url, headers, body = self._request(call, values, further)
        try:
            answer = await self.client.request(method, url, headers=headers, body=body, timeout=self.timeout)
        except (EgressFailed, EgressTimeout, EgressTooLarge) as problem:
            raise TargetFailed(f"{call.method} {call.path}: {problem.detail}") from problem
        if answer.status in _BUSY or answer.status >= 500:
            raise TargetFailed(f"{call.method} {call.path}: it answered with status {answer.status}.")
        return answer

    async def events(self, call: Call, values: Mapping[str, str]) -> AsyncGenerator[Any]:
        """The data of server-sent events, as far as it is JSON. Raises TargetFailed."""
        method, url, headers, body = self._request(call, values, {"Accept": "text/event-stream"})
        lines = self.client.lines(method, url, headers=headers, body=body, idle=self.timeout, timeout=_LONGEST_STREAM)
        try:
            async with aclosing(lines):
                async for line in lines:
                    if line.startswith(b"data:") and (data := _json(line[5:])) is not None:
                        yield data
        except (EgressFailed, EgressTimeout) as problem:
            raise TargetFailed(f"{call.method} {call.path}: {problem.detail}") from problem

    def _request(
        self, call: Call, values: Mapping[str, str], further: Mapping[str, str] | None
    ) -> tuple[str, str, dict[str, str], bytes | None]:
        path = filled(call.path, {name: quote(value, safe="") for name, value in values.items()})
        body = None if call.body is None else json.dumps(filled_all(call.body, values)).encode()
        headers = {**self.headers, **({} if body is None else {"Content-Type": "application/json"}), **(further or {})}
        return call.method, self.url.rstrip("/") + path, headers, body


def headers_of(connection: ManagedAgentsConnection, secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """What every request carries. Raises TargetFailed where a secret is not set."""
    key = {} if connection.api_key is None else {"Authorization": f"Bearer {reveal(connection.api_key, secrets)}"}
    given = {name: reveal(value, secrets) if isinstance(value, SecretRef) else value for name, value in connection.headers.items()}
    return {"Accept": "application/json", **key, **given}


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
