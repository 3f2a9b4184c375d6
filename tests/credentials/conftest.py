"""What the tests of tokens share."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from cryptography.fernet import Fernet
from tests.credentials.oauth_scene import FakeProvider, fake_provider, service_of

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.service import TokenService
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing([Fernet.generate_key().decode()])


@pytest.fixture
async def provider() -> AsyncGenerator[FakeProvider]:
    async with fake_provider() as provider:
        yield provider


@pytest.fixture
async def api() -> AsyncGenerator[ProviderApi]:
    api = ProviderApi()
    yield api
    await api.aclose()


@pytest.fixture
def tokens(db: Database, ring: KeyRing, api: ProviderApi) -> TokenService:
    """Without any provider."""
    return service_of(db, ring, api, Providers({}))
