"""The connections of clients whose gateway may be killed at any moment."""

from __future__ import annotations

import httpx


class Transport(httpx.AsyncHTTPTransport):
    """A transport whose every broken connection is a `TransportError`.

    Where a new connection is gone before the library could ask whose it was, the library raises an AttributeError of its own.
    """

    def __init__(self, limits: httpx.Limits) -> None:
        # They speak plain HTTP: no certificates are worth the time to load them.
        super().__init__(limits=limits, verify=False, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            raise httpx.ConnectError("The connection was gone as soon as it was made.", request=request) from error
