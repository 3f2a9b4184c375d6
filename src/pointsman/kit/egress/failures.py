"""What the HTTP client below other libraries raises; importing it loads the client."""

from __future__ import annotations

from aiohttp import ClientError as HttpFailed

__all__ = ["HttpFailed"]
