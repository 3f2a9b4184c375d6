"""A credential is handed to what acts for its user, from a cache that believes nothing for long, and never off the record."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from tests.credentials.oauth_scene import FakeProvider, service_of
from tests.credentials.token_scene import api_key, caller, oauth

from pointsman.credentials.disposal import expire_uses
from pointsman.credentials.errors import RunWithoutUser, TokenReauthRequired, UserNotConnected
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.service import TokenService
from pointsman.credentials.use_log import UseLog
from pointsman.credentials.using import CredentialUse, RunUser, Use
from pointsman.kit import log
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Unavailable

ACME = caller("acme")
ANN = RunUser("acme", "ann", "run_1")


@dataclass
class Desk:
    """A replica that uses credentials, another that changes them, and what was noted."""

    use: CredentialUse
    elsewhere: TokenService
    noted: list[Use] = field(default_factory=list[Use])


@pytest.fixture
async def listener(dsn: str) -> AsyncGenerator[Listener]:
    listener = Listener(dsn)
    listening = asyncio.create_task(listener.run())
    yield listener
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
def desk(db: Database, ring: KeyRing, api: ProviderApi, provider: FakeProvider, listener: Listener) -> Desk:
    providers = provider.providers()
    elsewhere = service_of(db, ring, api, providers)
    noted: list[Use] = []
    use = CredentialUse(Refresher(db, ring, providers, api, listener), ring, providers, listener, noted.append)
    return Desk(use, elsewhere, noted)


async def used(desk: Desk, key: str = "k", user: RunUser = ANN) -> str:
    return await desk.use.use(user, key, tool="crm__find")


async def becomes(desk: Desk, secret: str) -> None:
    """Within far less than the age at which a cached one is read again."""
    async with asyncio.timeout(3):
        while await used(desk) != secret:
            await asyncio.sleep(0.01)


async def test_each_type_is_what_goes_into_a_header_and_each_use_is_noted(desk: Desk) -> None:
    await desk.elsewhere.put_token(ACME, "ann", "k", api_key("the-key"))
    await desk.elsewhere.put_token(ACME, "ann", "o", oauth("the-access"))
    assert [await used(desk), await used(desk), await used(desk, "o")] == ["the-key", "the-key", "the-access"]
    assert [use.integration_key for use in desk.noted] == ["k", "k", "o"]
    assert desk.noted[0] == Use("acme", "ann", "k", "github", "run_1", "crm__find")


async def test_a_change_by_another_replica_reaches_the_cache_at_once(desk: Desk, owner: Connection) -> None:
    await desk.elsewhere.put_token(ACME, "ann", "k", api_key("the-first"))
    await asyncio.sleep(0.3)  # until that change itself was heard of
    await becomes(desk, "the-first")
    await owner.execute("UPDATE user_tokens SET encrypted_token_data = 'unreadable'")
    await asyncio.sleep(0.1)
    assert await used(desk) == "the-first"  # nothing was read
    await desk.elsewhere.put_token(ACME, "ann", "k", api_key("the-second"))
    await becomes(desk, "the-second")
    await desk.elsewhere.delete_token(ACME, "ann", "k")
    with pytest.raises(UserNotConnected):
        await becomes(desk, "nothing")


async def test_one_that_is_about_to_expire_is_renewed_and_never_kept_beyond_its_time(desk: Desk, provider: FakeProvider) -> None:
    await desk.elsewhere.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-0", expires_in=60.4))
    assert await used(desk) == "access-0"
    await asyncio.sleep(0.6)  # it is cached for no longer than it is good for a minute
    assert await used(desk) == "access-1"
    assert (await provider.seen())["asked"] == 1


async def test_who_has_no_user_no_token_or_no_grant_hears_what_the_user_does(desk: Desk) -> None:
    with pytest.raises(RunWithoutUser, match="crm__find uses the credential k"):
        await used(desk, user=RunUser("acme", None, "run_1"))
    with pytest.raises(UserNotConnected, match="User ann has to connect fake first: POST /v2/users/ann/tokens/connect/fake gives"):
        await used(desk, "fake")
    with pytest.raises(UserNotConnected, match=r"first: PUT /v2/users/ann/tokens/tracker\.$"):
        await used(desk, "tracker")
    await desk.elsewhere.put_token(ACME, "ann", "k", oauth("access-0", refresh="refresh-9", expires_in=-1))
    with pytest.raises(TokenReauthRequired, match=r"anew, since .* POST /v2/users/ann/tokens/connect/fake"):
        await used(desk)
    for stranger in (RunUser("other", "ann", "r"), RunUser("", "ann", "r"), RunUser("acme", "bob", "r")):
        with pytest.raises(UserNotConnected):
            await used(desk, user=stranger)
    assert desk.noted == []


async def test_uses_are_logged_at_once_stored_soon_listed_and_expire(db: Database, owner: Connection, tokens: TokenService) -> None:
    said = io.StringIO()
    log.configure(level="info", stream=said)
    uses = UseLog(db)
    for number in range(700):
        uses.note(Use("acme", "ann", "k", "github", f"run_{number}", "crm__find"))
    assert json.loads(said.getvalue().splitlines()[-1])["run_id"] == "run_699"
    await uses.flush()
    first = await tokens.list_uses(ACME, "ann", "k", limit=2, cursor=None)
    rest = await tokens.list_uses(ACME, "ann", "k", limit=200, cursor=first.next_cursor)
    assert [use.run_id for use in (*first.items, *rest.items)][:4] == ["run_699", "run_698", "run_697", "run_696"]
    assert (await tokens.list_uses(caller("other"), "ann", "k", limit=2, cursor=None)).items == []
    await owner.execute("UPDATE token_uses SET at = at - interval '2 days' WHERE run_id <> 'run_5'")
    async with db.transaction() as connection:
        assert await expire_uses(connection, dt.timedelta(days=1), 1000) == 699


async def test_no_credential_is_used_off_the_record_when_the_database_is_away_for_long(db: Database, owner: Connection) -> None:
    uses = UseLog(db, most=2)
    use = Use("acme", "ann", "k", "github", "run_1", "crm__find")
    uses.note(use)
    uses.note(use)
    with pytest.raises(Unavailable):
        uses.note(use)
    storing = asyncio.create_task(uses.run())
    async with asyncio.timeout(5):
        while await owner.fetchval("SELECT count(*) FROM token_uses") != 2:
            await asyncio.sleep(0.02)
    await uses.flush()  # rows can be seen a moment before whoever wrote them knows
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
    uses.note(use)
