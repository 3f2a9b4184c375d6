"""A user connects an account with a browser and no key; whatever does not belong to that browser, user and moment stores nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from collections.abc import AsyncGenerator
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.credentials.connect_scene import PUBLIC, Scene, connecting, way_of
from tests.credentials.test_tokens import everything
from tests.credentials.token_scene import caller

from pointsman.credentials.disposal import erase_tokens, expire_connects
from pointsman.kit import log
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings

ACME = caller("acme")
A_DAY = dt.timedelta(days=1)


@pytest.fixture
async def scene(settings: Settings, db: Database, owner: Connection) -> AsyncGenerator[Scene]:
    async with connecting(settings, db, owner) as scene:
        yield scene


async def test_a_user_connects_an_account_in_a_browser_and_no_secret_of_the_way_is_kept_or_logged(scene: Scene) -> None:
    said = io.StringIO()
    log.configure(level="debug", stream=said)
    connect = await scene.opened()
    assert (connect["status"], connect["scopes"], connect["integration_key"]) == ("pending", ["usual"], "fake")
    ann = scene.browser()
    page = await ann.http.get(connect["url"])
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'; form-action 'self'" in page.headers["content-security-policy"]
    assert all(text in page.text for text in ("<strong>ann</strong>", "acme", "usual"))
    cookie = page.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/v2/connect"))
    going = await ann.press(page)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(way_of(going)).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert (asked["redirect_uri"], asked["prompt"]) == (f"{PUBLIC}/v2/connect/fake/callback", "consent")
    done = await ann.http.get(way_of(going))
    assert done.status_code == 200, done.text
    assert "fake is connected" in done.text
    assert await scene.status(connect) == ("connected", None)
    revealed = await scene.tokens.reveal_token(ACME, "ann", "fake")
    assert (revealed.token_data["access_token"], revealed.token_data["refresh_token"]) == ("granted-access", "granted-refresh")
    assert revealed.expires_at is not None
    assert await scene.owner.fetchval("SELECT status FROM oauth_connections") == "established"
    actions = [row["action"] for row in await scene.owner.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions[:2] == ["token.connect_opened", "token.stored"]
    start, browser = connect["url"].rpartition("/")[2], cookie.partition("=")[2].partition(";")[0]
    left = await everything(scene.owner) + said.getvalue()
    secrets = (start, browser, asked["state"], "granted-access", "granted-refresh", "client-hush", str(done.url.params["code"]))
    assert not [secret for secret in secrets if secret in left]
    assert not list(ann.http.cookies.jar)
    assert (await ann.http.get(connect["url"])).status_code == 403


async def test_an_answer_is_taken_once_however_often_and_quickly_it_comes(scene: Scene) -> None:
    connect, ann = await scene.opened(), scene.browser()
    going = await ann.press(await ann.http.get(connect["url"]))
    back = (await ann.http.get(way_of(going), follow_redirects=False)).headers["location"]
    answers = await asyncio.gather(*(ann.http.get(back) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403, 403]
    assert (await ann.http.get(back)).status_code == 403
    assert (await scene.seen())["steps"] == ["exchanged"]
    assert await scene.status(connect) == ("connected", None)


async def test_another_browser_can_neither_take_the_form_nor_the_answer(scene: Scene) -> None:
    connect, ann, eve = await scene.opened(), scene.browser(), scene.browser()
    page = await ann.http.get(connect["url"])
    assert (await eve.press(page)).status_code == 403  # without the cookie of that page
    going = await ann.press(page)
    assert (await eve.press(await eve.http.get(connect["url"]))).status_code == 403  # it is taken
    back = (await ann.http.get(way_of(going), follow_redirects=False)).headers["location"]
    refused = await eve.http.get(back)
    assert (refused.status_code, "Another browser began this" in refused.text) == (403, True)
    assert await scene.stored() == []
    assert (await ann.http.get(back)).status_code == 200
    assert await scene.stored() == [("acme/ann", "fake")]


async def test_an_answer_serves_the_user_and_tenant_of_its_own_way_alone(scene: Scene) -> None:
    browser = scene.browser()
    ways = [await scene.opened(user="ann"), await scene.opened(user="bob", tenant="other")]
    goings = [await browser.press(await browser.http.get(way["url"])) for way in ways]
    backs = [(await browser.http.get(way_of(going), follow_redirects=False)).headers["location"] for going in goings]
    # The code of one with the state of the other: the verifier of the other does not fit it.
    codes, states = ([parse_qs(urlsplit(back).query)[name][0] for back in backs] for name in ("code", "state"))
    mixed = backs[0].replace(codes[0], codes[1])
    assert (await browser.http.get(mixed)).status_code == 502
    assert (await browser.http.get(backs[0].replace(states[0], "x" * 43))).status_code == 403
    assert (await browser.http.get(backs[1].replace("/fake/callback", "/half/callback"))).status_code == 403
    assert await scene.stored() == []
    assert (await scene.status(ways[0]))[0] == "failed"
    for tenant, user in (("other", "ann"), ("acme", "bob")):
        missing = await scene.call("GET", f"/v2/users/{user}/connects/{ways[0]['id']}", tenant=tenant)
        assert (missing.status_code, missing.json()["code"]) == (404, "connect-not-found")


@pytest.mark.parametrize(
    ("scope", "status", "words"),
    [
        ("deny", 409, "the user said no"),
        ("other-issuer", 403, "does not come from https://issuer.test"),
        ("no-issuer", 403, "does not come from https://issuer.test"),
        ("mute", 502, "neither a code nor an error"),
        ("broken", 503, "answered with status 503"),
        ("garbage", 502, "no JSON object"),
        ("strange", 502, "refused (200, no code)"),
        ("unusable", 502, "cannot be kept as a token"),
    ],
)
async def test_what_goes_wrong_is_said_in_words_and_stores_nothing(scene: Scene, scope: str, status: int, words: str) -> None:
    connect, ann = await scene.opened(scope), scene.browser()
    page = await ann.consent(connect["url"])
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in page.text
    assert "<b>" not in page.text
    told, failure = await scene.status(connect)
    assert (told, words in (failure or "")) == ("failed", True)
    assert await scene.stored() == []
    assert (await ann.http.get(page.url)).status_code == 403


async def test_a_link_ends_with_its_time_with_its_key_and_with_its_user(scene: Scene, db: Database) -> None:
    ann = scene.browser()
    late, on_the_way = await scene.opened(), await scene.opened()
    going = await ann.press(await ann.http.get(on_the_way["url"]))
    await scene.owner.execute("UPDATE token_connects SET expires_at = clock_timestamp()")
    for answer in (await ann.http.get(late["url"]), await ann.http.get(way_of(going))):
        assert (answer.status_code, "time" in answer.text) == (403, True)
    assert await scene.status(late) == ("expired", None)
    revoked = await scene.opened(tenant="other")
    await scene.owner.execute("UPDATE api_keys SET is_active = false WHERE owner_id = 'other'")
    assert (await ann.http.get(revoked["url"])).status_code == 403
    gone = await scene.opened()
    async with db.transaction() as connection:
        assert await expire_connects(connection, A_DAY, 100) == 0
        assert await erase_tokens(connection, "acme", "ann", 100) == 3
    assert (await ann.http.get(gone["url"])).status_code == 403


async def test_who_asks_for_what_cannot_be_connected_hears_what_an_operator_does(
    scene: Scene, settings: Settings, db: Database, owner: Connection
) -> None:
    for provider, code, word in (
        ("fkae", "oauth-provider-not-found", "fake"),
        ("half", "oauth-provider-not-configured", "POINTSMAN_OAUTH__HALF__AUTHORIZE_URL"),
        ("github", "oauth-provider-not-configured", "POINTSMAN_OAUTH__GITHUB__CLIENT_ID"),
    ):
        refused = (await scene.call("POST", f"/v2/users/ann/tokens/connect/{provider}")).json()
        assert (refused["code"], word in refused["hint"]) == (code, True)
    async with connecting(settings, db, owner, public=None) as hidden:
        refused = (await hidden.call("POST", "/v2/users/ann/tokens/connect/fake")).json()
        assert (refused["code"], "POINTSMAN_PUBLIC_URL" in refused["hint"]) == ("connect-disabled", True)


async def test_what_others_wrote_is_escaped_and_a_program_hears_a_problem(scene: Scene) -> None:
    answer = await scene.call("POST", "/v2/users/ann/tokens/connect/fake", body={"scopes": ["<script>x</script>"]})
    page = await scene.browser().http.get(answer.json()["url"])
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    problem = await scene.browser().http.get(f"{PUBLIC}/v2/connect/nobody", headers={"accept": "application/json"})
    assert (problem.status_code, problem.json()["code"]) == (403, "connect-link-invalid")
    many = await scene.browser().http.post(f"{PUBLIC}/v2/connect/nobody", content="&".join(f"a{n}=1" for n in range(99)))
    assert many.status_code == 403
