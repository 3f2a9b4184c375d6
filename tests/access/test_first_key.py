"""The admin key that is made at the first start, and what a crash at any point leaves behind."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.access.access_replicas import StartReplica
from tests.access.access_scene import Desk, audited, authenticated

from pointsman.access.errors import KeyFileUnusable, Unauthenticated
from pointsman.access.keys import new_key
from pointsman.access.service import KeyService
from pointsman.kit.db import Connection, Database

WORKING = "SELECT count(*) FROM api_keys WHERE is_active AND owner_id IS NULL AND scopes LIKE '%\"admin\"%'"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin-key"


async def test_the_first_start_makes_an_operators_admin_key_in_a_private_file(
    db: Database, keys: KeyService, path: Path, owner: Connection
) -> None:
    first = await keys.bootstrap_admin(path)
    assert first.made
    assert path.read_text() == f"{first.api_key}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["admin-key"]
    key = await authenticated(db, path.read_text().strip())
    assert (key.owner_id, key.scopes, key.rate_limit) == (None, {"admin"}, 0)
    assert await audited(owner) == [("key.bootstrapped", str(key.id))]


async def test_the_second_start_changes_nothing(keys: KeyService, path: Path, owner: Connection) -> None:
    first = await keys.bootstrap_admin(path)
    again = await keys.bootstrap_admin(path)
    elsewhere = await keys.bootstrap_admin(path.with_name("other"))
    assert (again.made, elsewhere.made) == (False, False)
    assert path.read_text().strip() == first.api_key
    assert not path.with_name("other").exists()
    assert await owner.fetchval(WORKING) == 1


async def test_of_many_replicas_that_start_at_once_one_makes_it(replica: StartReplica, path: Path, owner: Connection) -> None:
    doors = await asyncio.gather(*(replica() for _ in range(3)))
    await asyncio.gather(*(door.order("bootstrap", path=str(path), rotate=False) for door in doors))
    made = [(await door.answers())[0] for door in doors]
    assert sorted(key == "nothing" for key in made) == [False, True, True]
    assert path.read_text().strip() in made
    assert await owner.fetchval(WORKING) == 1


async def test_a_rotation_puts_a_new_key_in_the_file_and_revokes_the_old_at_once(
    db: Database, desk: Desk, path: Path, owner: Connection
) -> None:
    colleague = await desk.open("admin")
    rotated = await desk.keys.bootstrap_admin(path, rotate=True)
    assert rotated.made
    assert path.read_text().strip() == rotated.api_key != desk.api_key
    with pytest.raises(Unauthenticated):
        await authenticated(db, desk.api_key)
    assert (await authenticated(db, colleague.api_key)).scopes == {"admin"}
    assert [action for action, _ in await audited(owner)][-2:] == ["key.revoked", "key.bootstrapped"]


async def test_a_crash_before_the_commit_leaves_nothing_that_counts(db: Database, keys: KeyService, path: Path, owner: Connection) -> None:
    never = new_key()
    path.with_name(".admin-key.pending").write_text(f"{never}\n")
    first = await keys.bootstrap_admin(path)
    assert first.api_key != never
    assert [file.name for file in path.parent.iterdir()] == ["admin-key"]
    assert (await authenticated(db, path.read_text().strip())).scopes == {"admin"}
    assert await owner.fetchval(WORKING) == 1


@pytest.mark.parametrize("rotate", [False, True])
async def test_a_crash_after_the_commit_is_mended_by_the_next_start(keys: KeyService, path: Path, owner: Connection, rotate: bool) -> None:
    first = await keys.bootstrap_admin(path)
    path.rename(path.with_name(".admin-key.pending"))
    mended = await keys.bootstrap_admin(path, rotate=rotate)
    assert mended.api_key == first.api_key == path.read_text().strip()
    assert [file.name for file in path.parent.iterdir()] == ["admin-key"]
    assert await owner.fetchval(WORKING) == 1


async def test_half_a_staged_key_is_as_good_as_none(keys: KeyService, path: Path, owner: Connection) -> None:
    path.with_name(".admin-key.pending").write_text(new_key()[:20])
    assert (await keys.bootstrap_admin(path)).made
    assert await owner.fetchval(WORKING) == 1


async def test_killed_anywhere_it_never_loses_the_only_key_nor_makes_two(
    db: Database, keys: KeyService, replica: StartReplica, path: Path, owner: Connection
) -> None:
    for victim in await asyncio.gather(*(replica(deaf=True) for _ in range(6))):
        await victim.order("bootstrap", path=str(path), rotate=True)
        await asyncio.sleep(random.random() * 0.03)
        await victim.kill()
        await keys.bootstrap_admin(path)
        assert (await authenticated(db, path.read_text().strip())).scopes == {"admin"}
        assert await owner.fetchval(WORKING) == 1


async def test_the_key_of_a_database_made_anew_goes_on_working(db: Database, keys: KeyService, path: Path) -> None:
    kept = new_key()
    path.write_text(f"{kept}\n")
    path.chmod(0o644)
    assert (await keys.bootstrap_admin(path)).api_key == kept
    assert (await authenticated(db, kept)).scopes == {"admin"}
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_empty_file_may_be_filled(keys: KeyService, path: Path) -> None:
    path.touch()
    assert (await keys.bootstrap_admin(path)).api_key == path.read_text().strip()


@pytest.mark.parametrize("rotate", [False, True])
async def test_a_file_that_holds_something_else_is_left_alone(keys: KeyService, path: Path, owner: Connection, rotate: bool) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(KeyFileUnusable, match="holds no key"):
        await keys.bootstrap_admin(path, rotate=rotate)
    assert path.read_text() == "-----BEGIN PRIVATE KEY-----\n"
    assert await owner.fetchval("SELECT count(*) FROM api_keys") == 0


@pytest.mark.parametrize("place", ["missing/admin-key", ".", "admin-key/below"])
async def test_a_file_that_cannot_be_is_refused_before_a_key_is_made(keys: KeyService, path: Path, owner: Connection, place: str) -> None:
    if "below" in place:
        path.touch()
    with pytest.raises(KeyFileUnusable):
        await keys.bootstrap_admin(path.parent / place)
    assert await owner.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_an_admin_key_that_expired_makes_way_for_a_new_one(db: Database, desk: Desk, path: Path, owner: Connection) -> None:
    await owner.execute("UPDATE api_keys SET expires_at = clock_timestamp()")
    first = await desk.keys.bootstrap_admin(path)
    assert first.api_key not in (None, desk.api_key)
    assert (await authenticated(db, path.read_text().strip())).scopes == {"admin"}
