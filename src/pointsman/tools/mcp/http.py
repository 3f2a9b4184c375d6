"""Where servers over HTTP are reached: each session with the headers that were filled for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from pointsman.kit.egress import Channels
from pointsman.tools.mcp.rows import Server
from pointsman.tools.mcp.wire import Ends


class Remote:
    """See `wire.Carrier`. A server over HTTP is not ours to end, nor to say that it has."""

    ended = False

    def __init__(self, channels: Channels, server: Server, headers: Mapping[str, str], answer_bytes: int) -> None:
        self._channels = channels
        self._server = server
        self._headers = headers
        self._answer_bytes = answer_bytes

    def streams(self) -> AbstractAsyncContextManager[Ends]:
        """A session's messages, request by request."""
        server = self._server
        within = server.connect_seconds + server.call_seconds
        # Only now, for it loads the library of the protocol.
        transport = import_module("pointsman.tools.mcp.transport_http")
        return transport.over_http(server.url or "", self._headers, self._channels, answer_bytes=self._answer_bytes, within=within)

    def complaints(self) -> str:
        """Nothing is heard of it but its answers."""
        return ""
