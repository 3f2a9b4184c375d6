"""OpenAPI tools: documents whose operations agents call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict

from pointsman.client.transport import Transport


class OpenApiOperation(TypedDict):
    """An operation as a tool."""

    operation: str
    tool: str
    description: str
    method: str
    path: str
    parameters: dict[str, Any]


class OpenApiRegistration(TypedDict):
    """A registered document; `tools` and `notes` are not in lists."""

    id: str
    name: str
    sha256: str
    server_url: str
    operations: list[str]
    headers: dict[str, str]
    timeout_seconds: int
    created_at: str
    updated_at: str
    is_active: bool
    tools: NotRequired[list[OpenApiOperation]]
    notes: NotRequired[list[str]]


class OpenApiTools:
    """`/v2/openapi-tools`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, include_inactive: bool = False, most: int | None = None) -> Iterator[OpenApiRegistration]:
        """By id."""
        return self._transport.pages("v2", "openapi-tools", query={"include_inactive": include_inactive}, most=most)

    def create(self, body: Mapping[str, Any]) -> OpenApiRegistration:
        return self._transport.call("POST", "v2", "openapi-tools", body=body)

    def read(self, tools_id: str) -> OpenApiRegistration:
        return self._transport.call("GET", "v2", "openapi-tools", tools_id)

    def read_document(self, tools_id: str) -> dict[str, Any]:
        return self._transport.call("GET", "v2", "openapi-tools", tools_id, "document")

    def update(self, tools_id: str, patch: Mapping[str, Any]) -> OpenApiRegistration:
        return self._transport.call("PATCH", "v2", "openapi-tools", tools_id, body=patch)

    def delete(self, tools_id: str) -> None:
        self._transport.call("DELETE", "v2", "openapi-tools", tools_id)
