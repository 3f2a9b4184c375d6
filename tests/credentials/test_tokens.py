"""Tokens at rest: sealed for one row, told to nobody but who reveals them, gone when they are deleted."""

from __future__ import annotations

from typing import Any

import pytest
from tests.credentials.token_scene import SECRET, api_key, caller

from pointsman.credentials.errors import TokenDataInvalid, TokenNotFound
from pointsman.credentials.schemas import TokenPut
from pointsman.credentials.service import TokenService
from pointsman.kit.crypto import SecretUnreadable
from pointsman.kit.db import Connection

ACME, OTHER, OPERATOR = caller("acme"), caller("other"), caller()


async def everything(owner: Connection) -> str:
    """The text of every row of every table."""
    tables = await owner.fetch("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'prompts')")
    rows = [await owner.fetch(f'SELECT t::text AS line FROM "{t["schemaname"]}"."{t["tablename"]}" t') for t in tables]
    return "\n".join(row["line"] for table in rows for row in table)


async def test_a_token_is_stored_listed_replaced_revealed_and_forgotten(tokens: TokenService, owner: Connection) -> None:
    stored = await tokens.put_token(ACME, "ann", "github", api_key(scopes=["repo"]))
    assert (stored.user_id, stored.scopes) == ("ann", ["repo"])
    assert await owner.fetchval("SELECT user_id FROM user_tokens") == "acme/ann"
    await tokens.put_token(ACME, "ann", "zulip", api_key("another"))
    first = await tokens.list_tokens(ACME, "ann", limit=1, cursor=None)
    rest = await tokens.list_tokens(ACME, "ann", limit=1, cursor=first.next_cursor)
    assert [token.integration_key for token in (*first.items, *rest.items)] == ["github", "zulip"]
    assert (await tokens.reveal_token(ACME, "ann", "github")).token_data == {"api_key": SECRET}
    await tokens.put_token(ACME, "ann", "github", api_key("newer"))
    assert (await tokens.reveal_token(ACME, "ann", "github")).token_data == {"api_key": "newer"}
    for _ in range(2):
        await tokens.delete_token(ACME, "ann", "github")
    row = await owner.fetchrow("SELECT is_active, encrypted_token_data FROM user_tokens WHERE integration_key = 'github'")
    assert row is not None
    assert tuple(row) == (False, "")  # pyright: ignore[reportArgumentType] - a record is its values
    with pytest.raises(TokenNotFound):
        await tokens.reveal_token(ACME, "ann", "github")
    actions = [row["action"] for row in await owner.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["token.stored", "token.stored", "token.revealed", "token.stored", "token.revealed", "token.deleted"]
    assert (await tokens.put_token(ACME, "ann", "github", api_key())).is_active


async def test_no_row_of_the_database_and_no_answer_holds_the_secret(tokens: TokenService, owner: Connection) -> None:
    stored = await tokens.put_token(ACME, "ann", "github", api_key())
    await tokens.reveal_token(ACME, "ann", "github")
    page = await tokens.list_tokens(ACME, "ann", limit=10, cursor=None)
    assert SECRET not in await everything(owner) + stored.model_dump_json() + page.model_dump_json()


async def test_a_ciphertext_that_was_moved_to_another_row_is_refused(tokens: TokenService, owner: Connection) -> None:
    await tokens.put_token(ACME, "ann", "github", api_key())
    places = [(ACME, "bob", "github"), (OTHER, "ann", "github"), (ACME, "ann", "gitlab"), (OPERATOR, "ann", "github")]
    for who, user, key in places:
        await tokens.put_token(who, user, key, api_key("own"))
    await owner.execute("UPDATE user_tokens SET encrypted_token_data = (SELECT encrypted_token_data FROM user_tokens ORDER BY id LIMIT 1)")
    for who, user, key in places:
        with pytest.raises(SecretUnreadable):
            await tokens.reveal_token(who, user, key)
    assert (await tokens.reveal_token(ACME, "ann", "github")).token_data == {"api_key": SECRET}
    await owner.execute("UPDATE user_tokens SET provider = 'evil' WHERE user_id = 'acme/ann'")
    with pytest.raises(SecretUnreadable):
        await tokens.reveal_token(ACME, "ann", "github")


async def test_another_tenants_token_is_not_there(tokens: TokenService) -> None:
    await tokens.put_token(ACME, "ann", "github", api_key())
    for stranger in (OTHER, OPERATOR):
        assert (await tokens.list_tokens(stranger, "ann", limit=10, cursor=None)).items == []
        await tokens.delete_token(stranger, "ann", "github")
        with pytest.raises(TokenNotFound):
            await tokens.require_token(stranger, "ann", "github")
    assert (await tokens.require_token(ACME, "ann", "github")).is_active


@pytest.mark.parametrize(
    ("token_type", "data"),
    [
        ("api_key", {}),
        ("api_key", {"token": "x"}),
        ("jwt", {"token": ""}),
        ("jwt", {"token": "a\r\nX-Evil: 1"}),
        ("oauth2", {"access_token": 1}),
        ("oauth2", {"access_token": "x", "refresh_token": "y z"}),
    ],
)
async def test_data_that_could_not_be_sent_is_refused_at_once(tokens: TokenService, token_type: Any, data: dict[str, Any]) -> None:
    with pytest.raises(TokenDataInvalid) as refused:
        await tokens.put_token(ACME, "ann", "k", TokenPut(provider="p", token_type=token_type, token_data=data))
    assert refused.value.errors[0].pointer.startswith("/token_data/")
