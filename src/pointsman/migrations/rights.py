"""What the role of the services may do: granted by name after each upgrade, so that a restored or extended database is right again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from pointsman.kit.db import SERVICE_ROLE, Connection
from pointsman.migrations.errors import ServiceRoleMissing

if TYPE_CHECKING:
    from sqlalchemy import Connection as SyncConnection
    from sqlalchemy import MetaData

USUAL = "SELECT, INSERT, UPDATE, DELETE"
NARROWED = {
    "alembic_version": "SELECT",
    "audit_head": "SELECT, INSERT, UPDATE",
    "audit_log": "SELECT, INSERT, UPDATE (seal_seq, prev_hash, hash)",
    "prompts.prompt_versions": "SELECT, INSERT",
    "skill_blobs": "SELECT, INSERT",
    "skill_files": "SELECT, INSERT",
    "skill_versions": "SELECT, INSERT",
}
"""Tables whose history must not change, also not by a defect of ours."""

_QUEUE = "queue"  # its tables are PgQueuer's to declare
_SCHEMAS = ("public", "prompts", _QUEUE)
_OWN_SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND pg_get_userbyid(c.relowner) = current_user AND n.nspname IN ('public', 'prompts', 'queue')
"""
_OWN_FUNCTIONS = """
SELECT p.oid::regprocedure::text
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE pg_get_userbyid(p.proowner) = current_user AND n.nspname = 'public' AND p.proname ~ '^knowledge_'
"""
_MAY_BECOME = "SELECT coalesce((SELECT pg_has_role(oid, 'SET') FROM pg_roles WHERE rolname = $1), false)"
_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
# Roles are shared by all databases of a server, advisory locks are not: two databases may do this at once.
_RACES = (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.InternalServerError)
_ATTEMPTS = 20


async def require_service_role(connection: Connection) -> None:
    """Make the role if it is not there, and become a member of it."""
    for attempt in range(_ATTEMPTS):
        if await connection.fetchval(_MAY_BECOME, SERVICE_ROLE):
            return
        try:
            await _make_role(connection)
        except _RACES:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.05)
        except asyncpg.InsufficientPrivilegeError as error:
            raise await _role_missing(connection) from error


def grant_rights(connection: SyncConnection, tables: MetaData) -> None:
    """Give the role its rights on everything that is there, and nothing else."""
    for schema in _schemas(connection):
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {SERVICE_ROLE}")
    for table in _present(connection, tables):
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {SERVICE_ROLE}")
        connection.exec_driver_sql(f"GRANT {NARROWED.get(table, USUAL)} ON {table} TO {SERVICE_ROLE}")
    for sequence in connection.exec_driver_sql(_OWN_SEQUENCES).scalars().all():
        connection.exec_driver_sql(f"GRANT USAGE, SELECT ON SEQUENCE {sequence} TO {SERVICE_ROLE}")
    for function in connection.exec_driver_sql(_OWN_FUNCTIONS).scalars().all():
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {function} TO {SERVICE_ROLE}")


def withdraw_rights(connection: SyncConnection, tables: MetaData) -> None:
    """Leave nothing behind that would keep the role from being dropped."""
    for schema in _schemas(connection):
        connection.exec_driver_sql(f"REVOKE ALL ON SCHEMA {schema} FROM {SERVICE_ROLE}")
    for table in _present(connection, tables):
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {SERVICE_ROLE}")
    for function in connection.exec_driver_sql(_OWN_FUNCTIONS).scalars().all():
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {function} FROM {SERVICE_ROLE}")


async def _make_role(connection: Connection) -> None:
    if not await connection.fetchval(_EXISTS, SERVICE_ROLE):
        await connection.execute(f"CREATE ROLE {SERVICE_ROLE} NOLOGIN")
    if not await connection.fetchval(_MAY_BECOME, SERVICE_ROLE):
        await connection.execute(f"GRANT {SERVICE_ROLE} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE")


async def _role_missing(connection: Connection) -> ServiceRoleMissing:
    user = await connection.fetchval("SELECT current_user")
    member = await connection.fetchval("SELECT quote_ident(current_user)")
    create = "" if await connection.fetchval(_EXISTS, SERVICE_ROLE) else f"CREATE ROLE {SERVICE_ROLE} NOLOGIN; "
    return ServiceRoleMissing(
        f"The database user {user} may not {'create' if create else 'become'} the role {SERVICE_ROLE}.",
        hint=f"Let an administrator of the server run: {create}GRANT {SERVICE_ROLE} TO {member} WITH INHERIT FALSE, SET TRUE;",
    )


def _schemas(connection: SyncConnection) -> list[str]:
    found = connection.exec_driver_sql("SELECT nspname FROM pg_namespace").scalars().all()
    return [schema for schema in _SCHEMAS if schema in found]


def _present(connection: SyncConnection, tables: MetaData) -> list[str]:
    """Those of our tables and the queue's that are there, as the transaction's search path names them."""
    found = connection.exec_driver_sql("SELECT schemaname || '.' || tablename FROM pg_tables").scalars().all()
    own = ["alembic_version", *(table.fullname for table in tables.sorted_tables)]
    present = [name for name in own if (name if "." in name else f"public.{name}") in found]
    return present + sorted(name for name in found if name.startswith(f"{_QUEUE}."))
