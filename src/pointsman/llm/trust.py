"""Whom a provider's TLS certificate may be signed by: the public authorities and, where the operator names a bundle, its own."""

from __future__ import annotations

import ssl

import httpx2

from pointsman.settings import ProviderSettings


def trust_of(settings: ProviderSettings) -> ssl.SSLContext:
    """A context for the provider. Reads files: not for the event loop."""
    context = httpx2.create_ssl_context(trust_env=False)
    if settings.ca_file is not None:
        context.load_verify_locations(cafile=settings.ca_file)
    return context
