"""The connection to one Docker daemon: opened when it is first needed, its failures told as those of the target."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiodocker

from pointsman.execution.connections import DockerConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.secrets import Secrets, reveal
from pointsman.kit.egress.failures import HttpFailed

NOT_FOUND, CONFLICT = 404, 409
_UNREACHABLE = 900  # aiodocker's own number for "no connection"
_ANSWER = 20.0


class Daemon:
    """A Docker daemon. `handle_errors` is how every call is made."""

    def __init__(self, connection: DockerConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._secrets = secrets
        self._opened: aiodocker.Docker | None = None
        self._name: str | None = None

    def client(self) -> aiodocker.Docker:
        """The client, which negotiates the version of the API with its first call. Raises TargetFailed for TLS that cannot be used."""
        if self._opened is None:
            version = self._connection.api_version
            self._opened = aiodocker.Docker(url=self._url(), ssl_context=self._tls(), api_version=f"v{version}" if version else "auto")
        return self._opened

    async def name(self) -> str:
        """What the daemon's host calls itself."""
        if self._name is None:
            self._name = str((await self.info())["Name"])
        return self._name

    async def info(self) -> dict[str, Any]:
        """What the daemon says about itself. Raises TargetFailed."""
        async with self.handle_errors("Docker did not say what it is"):
            return cast("Any", await self.client().system.info())  # pyright: ignore[reportUnknownMemberType] - no type in the library

    @asynccontextmanager
    async def handle_errors(self, what: str, *, seconds: float | None = _ANSWER) -> AsyncGenerator[None]:
        """Calls within must be answered in time. Raises TargetFailed, beginning with `what`."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except aiodocker.DockerError as error:
            raise self._told(what, error) from error
        except TimeoutError:
            raise TargetFailed(f"{what}: it gave no answer within {seconds:g} s.", hint="Look at the Docker daemon's own log.") from None
        except (HttpFailed, OSError) as error:
            raise TargetFailed(f"{what}: {error or type(error).__name__}.", hint=self._reaching()) from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    def _told(self, what: str, error: aiodocker.DockerError) -> TargetFailed:
        if error.status == _UNREACHABLE:
            return TargetFailed(f"{what}: no daemon answers at {self._connection.host}.", hint=self._reaching())
        if error.status == NOT_FOUND and "No such image" in error.message:
            image = self._connection.image
            return TargetFailed(f"{what}: it has no image {image!r}.", hint=f"Run `docker pull {image}` there, or set `pull` to true.")
        return TargetFailed(f"{what}: {error.message.strip()}.".replace("..", "."), hint="Look at the Docker daemon's own log.")

    def _reaching(self) -> str:
        return f"Is dockerd running, and may this process use {self._connection.host}? `connection_config.host` says where it is."

    def _url(self) -> str:
        host = self._connection.host
        return host.replace("tcp://", "https://") if self._connection.tls_ca or self._connection.tls_cert else host

    def _tls(self) -> ssl.SSLContext | None:
        given = (self._connection.tls_ca, self._connection.tls_cert, self._connection.tls_key)
        if not any(given):
            return None
        authority, certificate, key = (reveal(each, self._secrets) if each else None for each in given)
        try:
            context = ssl.create_default_context(cadata=authority)
            if certificate and key:
                _present(context, certificate, key)
        except ssl.SSLError as error:
            raise TargetFailed(
                f"The certificates for Docker cannot be used: {error.reason or error}.", hint="They are given in PEM."
            ) from None
        return context


def _present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """The library reads certificates from files alone; this one is in memory and has no name."""
    held = os.memfd_create("certificate")
    try:
        os.write(held, f"{certificate}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
