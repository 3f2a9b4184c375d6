"""A token is refreshed once, by one replica, whoever else needs it and whoever dies; and never in a loop."""

from __future__ import annotations

import asyncio
import io
from collections import Counter

import pytest
from cryptography.fernet import Fernet
from tests.credentials.oauth_scene import FakeProvider, fake_provider, run_replica, service_of
from tests.credentials.test_tokens import everything
from tests.credentials.token_scene import api_key, caller, oauth

from pointsman.credentials.errors import (
    OAuthProviderNotFound,
    OAuthProviderRefused,
    TokenNotRefreshable,
    TokenReauthRequired,
)
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.service import TokenService
from pointsman.kit import log
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database

ACME = caller("acme")


@pytest.fixture
def keys() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def fresh(db: Database, keys: str, api: ProviderApi, provider: FakeProvider) -> TokenService:
    return service_of(db, KeyRing([keys]), api, provider.providers())


async def test_of_fifty_uses_of_an_expired_token_over_three_replicas_one_refreshes_it(
    dsn: str, keys: str, provider: FakeProvider, fresh: TokenService
) -> None:
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    answers = await asyncio.gather(*(run_replica(dsn, keys, provider, calls=calls) for calls in (17, 17, 16)))
    assert Counter(answer for replica in answers for answer in replica) == {"access-1": 50}
    assert (await provider.seen())["asked"] == 1
    revealed = await fresh.reveal_token(ACME, "ann", "k")
    assert (revealed.token_data["access_token"], revealed.token_data["refresh_token"]) == ("access-1", "refresh-1")


async def test_killed_between_the_answer_and_the_commit_the_user_connects_anew_and_nothing_loops(
    dsn: str, keys: str, provider: FakeProvider, fresh: TokenService, owner: Connection
) -> None:
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    assert await run_replica(dsn, keys, provider, calls=3, dies=True) == []
    await owner.execute("UPDATE oauth_connections SET held_until = clock_timestamp()")  # as after its lease
    assert await run_replica(dsn, keys, provider, calls=5) == ["token-reauth-required"] * 5
    assert await run_replica(dsn, keys, provider, calls=5) == ["token-reauth-required"] * 5
    assert (await provider.seen())["asked"] == 2
    assert (await fresh.require_token(ACME, "ann", "k")).status == "reauth_required"
    with pytest.raises(TokenReauthRequired):
        await fresh.refresh_token(ACME, "ann", "k")
    # The user consents anew.
    await fresh.put_token(ACME, "ann", "k", oauth("access-1", refresh="refresh-1", expires_in=-5))
    assert (await fresh.refresh_token(ACME, "ann", "k")).status == "active"


async def test_one_that_died_before_the_provider_knew_is_made_up_for(
    dsn: str, keys: str, provider: FakeProvider, fresh: TokenService, owner: Connection
) -> None:
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    await owner.execute("UPDATE oauth_connections SET asks = 1, epoch = 1, held_until = clock_timestamp() + interval '1 s'")
    assert await run_replica(dsn, keys, provider, calls=2) == ["access-1", "access-1"]
    assert (await provider.seen())["asked"] == 1


async def test_two_deaths_with_the_same_token_are_the_last(
    dsn: str, keys: str, provider: FakeProvider, fresh: TokenService, owner: Connection
) -> None:
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    await owner.execute("UPDATE oauth_connections SET asks = 2, epoch = 2, held_until = clock_timestamp() + interval '1 s'")
    assert await run_replica(dsn, keys, provider, calls=4) == ["token-reauth-required"] * 4
    assert (await provider.seen())["asked"] == 0


async def test_429_and_5xx_are_tried_again_after_the_providers_time(db: Database, keys: str, api: ProviderApi, owner: Connection) -> None:
    async with fake_provider(503, 429) as provider:
        service = service_of(db, KeyRing([keys]), api, provider.providers())
        await service.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
        assert (await service.refresh_token(ACME, "ann", "k")).is_active
        assert (await provider.seen())["asked"] == 3
        assert await owner.fetchval("SELECT failures FROM oauth_connections") == 0


async def test_a_client_that_is_refused_is_the_operators_affair_and_the_grant_stays(
    db: Database, keys: str, api: ProviderApi, provider: FakeProvider
) -> None:
    service = service_of(db, KeyRing([keys]), api, provider.providers(secret="wrong"))
    await service.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    with pytest.raises(OAuthProviderRefused):
        await service.refresh_token(ACME, "ann", "k")
    assert (await service.require_token(ACME, "ann", "k")).status == "active"


async def test_what_cannot_be_refreshed_says_why(fresh: TokenService) -> None:
    await fresh.put_token(ACME, "ann", "key", api_key())
    await fresh.put_token(ACME, "ann", "bare", oauth("access", expires_in=3600))
    for name in ("key", "bare"):
        with pytest.raises(TokenNotRefreshable):
            await fresh.refresh_token(ACME, "ann", name)
    await fresh.put_token(ACME, "ann", "other", oauth("access", refresh="r", provider="nobody"))
    with pytest.raises(OAuthProviderNotFound):
        await fresh.refresh_token(ACME, "ann", "other")


async def test_a_token_that_is_put_meanwhile_is_not_overwritten(provider: FakeProvider, fresh: TokenService, owner: Connection) -> None:
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    await owner.execute("UPDATE oauth_connections SET held_until = clock_timestamp() + interval '1 min'")
    waiting = asyncio.create_task(fresh.refresh_token(ACME, "ann", "k"))
    await asyncio.sleep(0.1)
    await fresh.put_token(ACME, "ann", "k", oauth("newer", expires_in=3600))
    with pytest.raises(TokenNotRefreshable):
        await waiting
    assert (await fresh.reveal_token(ACME, "ann", "k")).token_data == {"access_token": "newer"}
    assert (await provider.seen())["asked"] == 0


async def test_a_deleted_token_is_revoked_at_its_provider_and_no_secret_is_left_anywhere(
    fresh: TokenService, provider: FakeProvider, owner: Connection
) -> None:
    said = io.StringIO()
    log.configure(level="debug", stream=said)
    await fresh.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=-5))
    await fresh.refresh_token(ACME, "ann", "k")
    stored = await everything(owner)
    await fresh.delete_token(ACME, "ann", "k")
    assert (await provider.seen())["revoked"] == ["refresh-1"]
    left = stored + await everything(owner) + said.getvalue()
    assert not [secret for secret in ("access-0", "access-1", "refresh-0", "refresh-1", "client-hush") if secret in left]
    actions = [row["action"] for row in await owner.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["token.stored", "token.refreshed", "token.deleted"]
