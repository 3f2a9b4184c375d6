"""Who may do what to which key."""

from __future__ import annotations

import asyncio
import datetime as dt
from datetime import timedelta

import pytest
from pydantic import ValidationError
from tests.access.access_scene import Desk, audited, authenticated

from pointsman.access.errors import (
    KeyExpired,
    KeyNotFound,
    KeyNotRotatable,
    KeyRevoked,
    KeyWidensItself,
    LastAdminKey,
    OwnerForbidden,
    ScopesExceeded,
    Unauthenticated,
)
from pointsman.access.schemas import KeyCreate, KeyPatch
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import InvalidRequest, Problem

HOUR = timedelta(hours=1)
MANAGER = ("keys:read", "keys:write", "agents:run")


async def test_only_the_hash_of_a_key_is_stored(desk: Desk, owner: Connection) -> None:
    issued = await desk.issue()
    for table in ("api_keys", "api_key_lineage", "audit_log"):
        rows = await owner.fetch(f"SELECT t::text AS row FROM {table} t")
        assert rows
        assert not any(issued.api_key[7:] in row["row"] for row in rows)


async def test_an_operator_makes_keys_for_any_tenant_and_for_itself(desk: Desk) -> None:
    assert (await desk.issue()).stored.key.owner_id is None
    assert (await desk.issue(owner_id="acme")).stored.key.owner_id == "acme"


async def test_an_operator_that_works_in_a_tenant_makes_that_tenants_keys(desk: Desk) -> None:
    inside = desk.working_in("acme")
    assert (await inside.issue()).stored.key.owner_id == "acme"
    with pytest.raises(OwnerForbidden):
        await inside.issue(owner_id="other")
    with pytest.raises(OwnerForbidden):
        await inside.issue(owner_id=None)


async def test_the_children_of_an_owned_key_inherit_its_owner(desk: Desk) -> None:
    acme = await desk.open(*MANAGER, owner_id="acme")
    assert (await acme.issue()).stored.key.owner_id == "acme"
    assert (await acme.issue(owner_id="acme")).stored.key.owner_id == "acme"
    for other in ("other", None):
        with pytest.raises(OwnerForbidden):
            await acme.issue(owner_id=other)


async def test_nobody_hands_out_more_than_they_hold(desk: Desk) -> None:
    manager = await desk.open(*MANAGER)
    with pytest.raises(ScopesExceeded) as caught:
        await manager.issue("agents:run", "admin", "tokens:reveal")
    assert caught.value.fields["scopes"] == ["admin", "tokens:reveal"]
    strong, weak = await desk.issue("tokens:reveal"), await manager.issue("agents:run")
    with pytest.raises(ScopesExceeded):
        await manager.keys.update(manager.principal, weak.stored.key.id, KeyPatch(scopes=["tokens:reveal"]))
    with pytest.raises(ScopesExceeded):  # a rotation would hand the stronger key to whoever rotates
        await manager.keys.rotate(manager.principal, strong.stored.key.id, HOUR)


async def test_what_a_key_held_already_may_stay_when_a_weaker_one_narrows_it(desk: Desk) -> None:
    manager = await desk.open(*MANAGER)
    strong = await desk.issue("tokens:reveal", "agents:run", "usage:read")
    narrowed = await manager.keys.update(manager.principal, strong.stored.key.id, KeyPatch(scopes=["tokens:reveal"]))
    assert narrowed.key.scopes == ["tokens:reveal"]


async def test_another_tenants_key_looks_like_none_at_all(desk: Desk) -> None:
    acme, other = await desk.open(*MANAGER, owner_id="acme"), await desk.open(*MANAGER, owner_id="other")
    operators = desk.principal.key_id
    for hidden in (other.principal.key_id, operators, 2_000_000_000):
        for attempt in (
            acme.keys.require_key(acme.principal, hidden),
            acme.keys.update(acme.principal, hidden, KeyPatch(name="mine")),
            acme.keys.delete(acme.principal, hidden),
            acme.keys.rotate(acme.principal, hidden, HOUR),
        ):
            with pytest.raises(KeyNotFound) as caught:
                await attempt
            assert caught.value.detail == f"There is no key {hidden}."
    with pytest.raises(KeyNotFound):
        await desk.keys.require_key(desk.working_in("acme").principal, other.principal.key_id)


async def test_a_list_holds_the_keys_of_the_visible_tenant_page_by_page(desk: Desk) -> None:
    acme = await desk.open(*MANAGER, owner_id="acme")
    mine = [acme.principal.key_id, *[(await acme.issue(name=f"key {number}")).stored.key.id for number in range(6)]]
    await desk.issue(owner_id="other")
    seen: list[int] = []
    cursor = None
    while True:
        page = await acme.keys.list_keys(acme.principal, limit=3, cursor=cursor)
        seen += [key.id for key in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == sorted(mine, reverse=True)


async def test_a_list_can_be_narrowed_to_an_owner_and_to_what_works(desk: Desk) -> None:
    acme = await desk.issue(owner_id="acme")
    revoked = await desk.issue(owner_id="acme")
    await desk.keys.delete(desk.principal, revoked.stored.key.id)

    async def ids(**filters: object) -> set[int]:
        return {key.id for key in (await desk.keys.list_keys(desk.principal, **filters)).items}  # pyright: ignore[reportArgumentType]

    assert await ids(owner="acme") == {acme.stored.key.id, revoked.stored.key.id}
    assert await ids(owner="acme", active=True) == {acme.stored.key.id}
    assert await ids(active=False) == {revoked.stored.key.id}
    assert await ids(owner="") == {desk.principal.key_id}
    assert await ids(owner="nobody") == set()


@pytest.mark.parametrize("cursor", ["x", "WzFd!", "WyJhIl0", "Wzk5OTk5OTk5OTk5OTk5XQ", "Wy0xXQ"])
async def test_a_cursor_of_another_make_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await desk.keys.list_keys(desk.principal, cursor=cursor)


async def test_a_patch_changes_what_it_names_and_null_clears_the_expiry(desk: Desk, owner: Connection) -> None:
    until = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    issued = await desk.issue(name="old", rate_limit=5, expires_at=until)
    key_id = issued.stored.key.id
    changed = await desk.keys.update(desk.principal, key_id, KeyPatch(name="new", rate_limit=0))
    assert (changed.key.name, changed.key.rate_limit, changed.key.expires_at) == ("new", 0, until)
    changed = await desk.keys.update(desk.principal, key_id, KeyPatch.model_validate({"expires_at": None}))
    assert (changed.key.expires_at, changed.key.scopes) == (None, ["agents:run"])
    assert [action for action, object_id in await audited(owner) if object_id == str(key_id)] == [
        "key.created",
        "key.updated",
        "key.updated",
    ]


async def test_a_key_may_narrow_itself_but_never_widen(desk: Desk) -> None:
    until = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    own = await desk.open(*MANAGER, rate_limit=10, expires_at=until)
    for wider in ({"rate_limit": 11}, {"rate_limit": 0}, {"expires_at": None}, {"expires_at": "2100-01-01T00:00:00Z"}):
        with pytest.raises(KeyWidensItself):
            await own.keys.update(own.principal, own.principal.key_id, KeyPatch.model_validate(wider))
    with pytest.raises(ScopesExceeded):
        await own.keys.update(own.principal, own.principal.key_id, KeyPatch(scopes=[*MANAGER, "audit:read"]))
    narrower = KeyPatch.model_validate({"rate_limit": 9, "expires_at": "2098-01-01T00:00:00Z", "scopes": ["keys:write"]})
    assert (await own.keys.update(own.principal, own.principal.key_id, narrower)).key.rate_limit == 9
    with pytest.raises(ScopesExceeded):  # its principal still claims what the row no longer holds
        await own.issue("agents:run")


async def test_a_rotation_of_itself_does_not_prolong_a_keys_life(desk: Desk) -> None:
    until = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    own = await desk.open(*MANAGER, rate_limit=10, expires_at=until)
    rotated = await own.keys.rotate(own.principal, own.principal.key_id, HOUR)
    assert (rotated.stored.key.expires_at, rotated.stored.key.rate_limit) == (until, 10)


async def test_a_key_revoked_a_moment_ago_makes_no_more_keys(desk: Desk) -> None:
    manager = await desk.open(*MANAGER)
    await desk.keys.delete(desk.principal, manager.principal.key_id)
    with pytest.raises(Unauthenticated):
        await manager.issue()


async def test_a_revocation_is_final_and_may_be_repeated(db: Database, desk: Desk, owner: Connection) -> None:
    issued = await desk.issue()
    key_id = issued.stored.key.id
    for _ in range(3):
        await desk.keys.delete(desk.principal, key_id)
    with pytest.raises(Unauthenticated):
        await authenticated(db, issued.api_key)
    assert (await desk.keys.require_key(desk.principal, key_id)).key.is_active is False
    with pytest.raises(KeyRevoked):
        await desk.keys.update(desk.principal, key_id, KeyPatch(name="again"))
    with pytest.raises(KeyNotRotatable):
        await desk.keys.rotate(desk.principal, key_id, HOUR)
    assert [action for action, object_id in await audited(owner) if object_id == str(key_id)] == ["key.created", "key.revoked"]


async def test_both_keys_work_until_the_overlap_ends(db: Database, desk: Desk) -> None:
    issued = await desk.issue(name="robot", owner_id="acme", rate_limit=5)
    rotated = await desk.keys.rotate(desk.principal, issued.stored.key.id, timedelta(seconds=0.4))
    new = rotated.stored.key
    assert (new.name, new.owner_id, new.rate_limit, new.scopes, new.expires_at) == ("robot", "acme", 5, ["agents:run"], None)
    assert {(await authenticated(db, key)).family_id for key in (issued.api_key, rotated.api_key)} == {issued.stored.key.id}
    await asyncio.sleep(0.5)
    with pytest.raises(KeyExpired):
        await authenticated(db, issued.api_key)
    assert (await authenticated(db, rotated.api_key)).id == new.id


async def test_without_an_overlap_the_old_key_ends_at_once(db: Database, desk: Desk) -> None:
    issued = await desk.issue()
    await desk.keys.rotate(desk.principal, issued.stored.key.id, timedelta())
    with pytest.raises(KeyExpired):
        await authenticated(db, issued.api_key)


async def test_an_overlap_never_prolongs_the_old_key(desk: Desk) -> None:
    soon = dt.datetime.now(dt.UTC) + timedelta(minutes=5)
    issued = await desk.issue(expires_at=soon)
    rotated = await desk.keys.rotate(desk.principal, issued.stored.key.id, timedelta(days=30))
    assert rotated.old_key_expires_at == soon


async def test_a_rotated_key_is_not_rotated_again_but_its_successor_is(desk: Desk) -> None:
    first = await desk.issue()
    second = await desk.keys.rotate(desk.principal, first.stored.key.id, HOUR)
    with pytest.raises(KeyNotRotatable) as caught:
        await desk.keys.rotate(desk.principal, first.stored.key.id, HOUR)
    assert caught.value.hint == f"Rotate key {second.stored.key.id}."
    third = await desk.keys.rotate(desk.principal, second.stored.key.id, HOUR)
    assert third.stored.family_id == first.stored.key.id


async def test_of_two_rotations_at_once_one_wins(desk: Desk) -> None:
    issued = await desk.issue()
    attempts = [desk.keys.rotate(desk.principal, issued.stored.key.id, HOUR) for _ in range(4)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, KeyNotRotatable) for outcome in outcomes) == 3


async def test_the_last_admin_key_cannot_be_given_up(desk: Desk) -> None:
    own = desk.principal.key_id
    await desk.issue("admin", owner_id="acme")  # a tenant's admin is none of the operator's
    with pytest.raises(LastAdminKey) as caught:
        await desk.keys.delete(desk.principal, own)
    assert "bootstrap --rotate" in caught.value.hint
    with pytest.raises(LastAdminKey):
        await desk.keys.update(desk.principal, own, KeyPatch(scopes=["keys:write"]))
    second = await desk.open("admin")
    await desk.keys.delete(desk.principal, own)
    with pytest.raises(LastAdminKey):
        await second.keys.delete(second.principal, second.principal.key_id)


async def test_a_rotated_admin_key_does_not_count_beside_its_successor(desk: Desk) -> None:
    rotated = await desk.keys.rotate(desk.principal, desk.principal.key_id, HOUR)
    with pytest.raises(LastAdminKey):
        await desk.keys.delete(desk.principal, rotated.stored.key.id)
    await desk.keys.delete(desk.principal, desk.principal.key_id)


async def test_two_admins_who_revoke_each_other_at_once_leave_one(desk: Desk, owner: Connection) -> None:
    other = await desk.open("admin")
    outcomes = await asyncio.gather(
        desk.keys.delete(desk.principal, other.principal.key_id),
        other.keys.delete(other.principal, desk.principal.key_id),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Problem) for outcome in outcomes) == 1
    assert await owner.fetchval("SELECT count(*) FROM api_keys WHERE is_active") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("name", None),
        ("name", "x" * 256),
        ("scopes", []),
        ("scopes", None),
        ("scopes", ["nothing"]),
        ("owner_id", "a/b"),
        ("owner_id", ""),
        ("rate_limit", -1),
        ("rate_limit", 2**31),
        ("rate_limit", True),
        ("rate_limit", None),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "2099-01-01T00:00:00"),
        ("expires_at", "9999-12-31T23:59:59-14:00"),
        ("ratelimit", 5),
    ],
)
def test_a_body_that_cannot_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        KeyCreate.model_validate({"name": "x", "scopes": ["agents:run"], field: value})
    if field != "owner_id":
        with pytest.raises(ValidationError):
            KeyPatch.model_validate({field: value})


async def test_scopes_are_kept_once_each(desk: Desk) -> None:
    issued = await desk.issue("runs:read", "agents:run", "runs:read")
    assert issued.stored.key.scopes == ["runs:read", "agents:run"]
