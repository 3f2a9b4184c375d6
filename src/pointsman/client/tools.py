"""Tools, and the MCP servers that some come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from pointsman.client.transport import Transport


class McpServer(TypedDict):
    """An MCP server, as it stands in a list."""

    id: str
    type: str
    name: str
    description: str | None
    url: str | None
    headers: dict[str, str]
    timeouts: dict[str, float]
    state: str
    created_at: str | None
    updated_at: str | None
    is_active: bool


class McpServerDetail(McpServer):
    """An MCP server with its tools."""

    sha256: str | None
    approved_by: str | None
    approved_at: str | None
    tools: list[dict[str, Any]]
    proposal: dict[str, Any] | None


class McpServers:
    """`/v2/mcp-servers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, most: int | None = None) -> Iterator[McpServer]:
        """By id."""
        return self._transport.pages("v2", "mcp-servers", most=most)

    def create(self, body: Mapping[str, Any]) -> McpServerDetail:
        """Register one over HTTP; it is not connected to."""
        return self._transport.call("POST", "v2", "mcp-servers", body=body)

    def read(self, server_id: str) -> McpServerDetail:
        """One of them, with its tools."""
        return self._transport.call("GET", "v2", "mcp-servers", server_id)

    def update(self, server_id: str, patch: Mapping[str, Any]) -> McpServerDetail:
        """Change it."""
        return self._transport.call("PATCH", "v2", "mcp-servers", server_id, body=patch)

    def inspect(self, server_id: str, *, user_id: str | None = None) -> McpServerDetail:
        """Ask it what it offers."""
        return self._transport.call("POST", "v2", "mcp-servers", server_id, "inspect", body={"user_id": user_id})

    def approve(self, server_id: str, sha256: str) -> McpServerDetail:
        """Approve what it was seen to offer."""
        return self._transport.call("POST", "v2", "mcp-servers", server_id, "approve", body={"sha256": sha256})

    def delete(self, server_id: str) -> None:
        """Delete it."""
        self._transport.call("DELETE", "v2", "mcp-servers", server_id)
