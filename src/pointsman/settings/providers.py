"""How a model provider is reached, and within which limits."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from pointsman.settings.values import Duration, Section


class UpstreamLimits(Section):
    """The four time limits and the bulkhead of one model provider."""

    connect: Duration = Field(default=timedelta(seconds=4), description="Longest time to open a connection.")
    first_byte: Duration = Field(default=timedelta(seconds=60), description="Longest silence before the answer begins.")
    idle: Duration = Field(default=timedelta(seconds=30), description="Longest silence within a streamed answer.")
    total: Duration = Field(default=timedelta(minutes=10), description="Longest model call.")
    retries: int = Field(default=2, ge=0, le=10, description="Further attempts after a failure that may pass, before any output.")
    concurrency: int = Field(default=1000, ge=1, description="Calls under way to this provider from one process.")


class ProviderSettings(UpstreamLimits):
    """A model provider; any name in `POINTSMAN_PROVIDERS__<NAME>__BASE_URL` becomes `<name>:model`."""

    api_key: SecretStr | None = Field(default=None, description="The provider's key.")
    base_url: str | None = Field(default=None, description="Where its API is; unset: the provider's public address.")
    context_images: bool = Field(default=True, description="Whether models of this provider take images.")
    context_pdf: bool = Field(default=False, description="Whether models of this provider take PDF documents.")
    proxy: SecretStr | None = Field(
        default=None, description="HTTP proxy for its calls, `http://host:port` or with `user:password@` before the host; unset: none."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign its certificate, beside the public ones; unset: only those."
    )

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            try:
                parts = urlsplit(proxy.get_secret_value())
                usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("A proxy is written http://host:port, with user:password@ before the host where it asks for them.")
        return proxy

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, ca_file: Path | None) -> Path | None:
        if ca_file is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
            except OSError as error:
                reason = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
                raise ValueError(f"{ca_file} cannot be used: {reason}.") from None
        return ca_file

    def proxy_url(self) -> str | None:
        """The proxy with its credentials."""
        return self.proxy.get_secret_value() if self.proxy is not None else None
