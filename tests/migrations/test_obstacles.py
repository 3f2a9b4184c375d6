"""What is in the way of a migration is said in words that a person can act on."""

from __future__ import annotations

import asyncio

import pytest
from tests.conftest import Cluster

from pointsman.kit.db import SERVICE_ROLE, Database, connect
from pointsman.migrations import HEAD, current, downgrade, migrate
from pointsman.migrations.errors import (
    DatabaseNewerThanCode,
    DatabaseNotReached,
    DatabaseServerUnsupported,
    MigrationNotPermitted,
    RevisionUnknown,
    ServiceRoleMissing,
)


async def test_a_database_newer_than_the_code_is_refused_and_left_alone(dsn: str) -> None:
    await _run(dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseNewerThanCode, match="9999") as refused:
        await migrate(dsn)
    assert "Start the release that migrated it" in refused.value.hint
    with pytest.raises(DatabaseNewerThanCode):
        await downgrade(dsn, "base")
    assert await current(dsn) == "9999"


async def test_going_back_to_a_revision_nobody_knows_is_refused(dsn: str) -> None:
    with pytest.raises(RevisionUnknown, match="0815") as refused:
        await downgrade(dsn, "0815")
    assert HEAD in refused.value.hint


@pytest.mark.parametrize(
    "broken",
    [
        ("pm:", "pm:wrong"),
        ("/pointsman?", "/nowhere?"),
        ("?host=", "?host=/nowhere"),
        ("?host=", "?port=abc&host="),
    ],
)
async def test_a_wrong_dsn_is_named_without_its_password(cluster: Cluster, broken: tuple[str, str]) -> None:
    dsn = cluster.dsn.replace(*broken)
    assert dsn != cluster.dsn
    with pytest.raises(DatabaseNotReached) as refused:
        await migrate(dsn)
    assert len(refused.value.detail) > 40
    assert cluster.dsn.split(":")[2].split("@")[0] not in refused.value.detail


async def test_a_database_that_is_not_utf8_is_refused(cluster: Cluster) -> None:
    latin = "template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
    with cluster.database(latin) as dsn, pytest.raises(DatabaseServerUnsupported, match="LATIN1"):
        await migrate(dsn)


async def test_an_owner_who_may_not_make_the_role_is_told_the_statements_that_help(private_cluster: Cluster) -> None:
    private_cluster.execute('CREATE ROLE "Plain" LOGIN PASSWORD $$Plain$$', 'CREATE DATABASE plain OWNER "Plain"')
    dsn = private_cluster.dsn_of("plain", user="Plain")
    with pytest.raises(ServiceRoleMissing, match="may not create") as missing:
        await migrate(dsn)
    assert await current(dsn) is None

    private_cluster.execute(f"CREATE ROLE {SERVICE_ROLE} NOLOGIN")
    with pytest.raises(ServiceRoleMissing, match="may not become"):
        await migrate(dsn)
    private_cluster.execute(f"DROP ROLE {SERVICE_ROLE}")

    private_cluster.execute(*missing.value.hint.partition("run: ")[2].rstrip(";").split("; "))
    assert await migrate(dsn) == (None, HEAD)
    assert await _service_user(dsn) == SERVICE_ROLE
    private_cluster.execute("DROP DATABASE plain", f"DROP ROLE {SERVICE_ROLE}")


async def test_an_owner_who_may_make_roles_makes_it_and_becomes_a_member(private_cluster: Cluster) -> None:
    private_cluster.execute("CREATE ROLE chief LOGIN CREATEROLE PASSWORD $$chief$$", "CREATE DATABASE chiefs OWNER chief")
    dsn = private_cluster.dsn_of("chiefs", user="chief")
    assert await migrate(dsn) == (None, HEAD)
    assert await _service_user(dsn) == SERVICE_ROLE
    private_cluster.execute("DROP DATABASE chiefs", f"DROP ROLE {SERVICE_ROLE}")


async def test_a_user_who_owns_nothing_is_told_so(private_cluster: Cluster) -> None:
    private_cluster.execute(
        f"CREATE ROLE {SERVICE_ROLE} NOLOGIN", "CREATE ROLE guest LOGIN PASSWORD $$guest$$", f"GRANT {SERVICE_ROLE} TO guest"
    )
    with private_cluster.database() as name:
        dsn = name.replace(name.split("@")[0], "postgresql://guest:guest")
        with pytest.raises(MigrationNotPermitted, match="permission denied"):
            await migrate(dsn)
    private_cluster.execute(f"DROP ROLE {SERVICE_ROLE}")


async def test_five_databases_of_one_server_make_the_role_at_once(private_cluster: Cluster) -> None:
    private_cluster.execute(
        "CREATE ROLE maker LOGIN CREATEROLE PASSWORD $$maker$$", *(f"CREATE DATABASE m{n} OWNER maker" for n in range(5))
    )
    dsns = [private_cluster.dsn_of(f"m{n}", user="maker") for n in range(5)]
    assert await asyncio.gather(*map(migrate, dsns)) == [(None, HEAD)] * 5
    private_cluster.execute(*(f"DROP DATABASE m{n}" for n in range(5)), f"DROP ROLE {SERVICE_ROLE}")


async def test_rights_lost_in_a_restore_come_back_with_the_next_start(dsn: str) -> None:
    await _run(
        dsn, f"REVOKE ALL ON ALL TABLES IN SCHEMA public, prompts FROM {SERVICE_ROLE}; REVOKE ALL ON SCHEMA prompts FROM {SERVICE_ROLE}"
    )
    assert await migrate(dsn) == (HEAD, HEAD)
    assert await _service_user(dsn) == SERVICE_ROLE


async def _service_user(dsn: str) -> str:
    db = await Database.connect(dsn, pool_size=2)
    try:
        async with db.connection() as connection:
            await connection.execute("INSERT INTO prompts.prompts (id, name, template) VALUES ('p', 'P', 'Hello')")
            return await connection.fetchval("SELECT current_user::text")
    finally:
        await db.close()


async def _run(dsn: str, statements: str) -> None:
    connection = await connect(dsn, role=None)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
