"""What the tests of tokens share."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from pointsman.credentials.service import TokenService
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing([Fernet.generate_key().decode()])


@pytest.fixture
def tokens(db: Database, ring: KeyRing) -> TokenService:
    return TokenService(db, ring)
