"""Whose knowledge it is: the tenant that a path names, and transactions in which no other tenant's rows exist."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import is_chosen_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Problem

OWN = "-"
"""How a path names the tenant that the key works in, which for an operator key without one is the operator's own."""


@asynccontextmanager
async def within_tenant(db: Database, tenant: str) -> AsyncGenerator[Connection]:
    """A transaction that sees and writes rows of this tenant alone: row-level security, beside each statement's own condition."""
    async with db.transaction() as connection:
        await enter_tenant(connection, tenant)
        yield connection


async def enter_tenant(connection: Connection, tenant: str) -> None:
    """Let the caller's transaction see the rows of this tenant."""
    await connection.execute("SELECT set_config('pointsman.tenant', $1, true)", tenant)


def tenant_of(principal: Principal, named: str, otherwise: Problem) -> str:
    """The tenant as it is stored. Raises `otherwise` for one that this key has nothing to do with, whether or not it exists."""
    if named == OWN:
        return principal.tenant_key
    if not is_chosen_id(named) or principal.visible_tenant not in {None, named}:
        raise otherwise
    return named
