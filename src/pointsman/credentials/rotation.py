"""Brings every stored secret under the newest key of the ring, a few rows at a time; may be interrupted anywhere, and run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database

# A secret's column is called `encrypted_…`; these two were named before that was the rule.
_OTHERS = ("idempotency_keys.answer", "key_canary.token")
_COLUMNS = """
SELECT table_schema || '.' || table_name AS name, column_name::text AS column FROM information_schema.columns
WHERE table_schema IN ('public', 'prompts')
  AND (starts_with(column_name, 'encrypted_') OR table_name || '.' || column_name = ANY ($1))
ORDER BY 1, 2
"""
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds ciphertexts."""

    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What one pass met in a column: ciphertexts of the newest key, of older ones, and those that were re-encrypted."""

    current: int
    older: int
    rotated: int


Told = Callable[[Column, Counted], None]


async def sealed_columns(connection: Connection) -> list[Column]:
    """Every column of the database that holds ciphertexts of the ring."""
    return [Column(row["name"], row["column"]) for row in await connection.fetch(_COLUMNS, list(_OTHERS))]


async def count(db: Database, ring: KeyRing) -> dict[Column, Counted]:
    """How many ciphertexts of each column are the newest key's. Changes nothing."""
    async with db.connection() as connection:
        columns = await sealed_columns(connection)
    return {column: await _pass(db, ring, column, rewrite=False) for column in columns}


async def rotate(db: Database, ring: KeyRing, told: Told) -> int:
    """Re-encrypt whatever an older key made; how many rows were. Raises SecretUnreadable where no key of the ring reads one.

    Each row is changed only if it still holds what was read, so a row that somebody writes meanwhile keeps what they wrote; the next
    pass looks at it again. It ends when a whole pass meets nothing old.
    """
    async with db.connection() as connection:
        columns = await sealed_columns(connection)
    total = 0
    for column in columns:
        while True:
            counted = await _pass(db, ring, column, rewrite=True)
            total += counted.rotated
            told(column, counted)
            if not counted.older:
                break
    return total


async def _pass(db: Database, ring: KeyRing, column: Column, *, rewrite: bool) -> Counted:
    # By physical place: it pages through any table alike, whatever its key, and a row that moves is met in the next pass.
    name, table = column.name, column.table
    read = f"SELECT ctid, {name} AS token FROM {table} WHERE {name} <> '' AND ctid > $1 ORDER BY ctid LIMIT {_BATCH}"  # noqa: S608 - names from the catalogue
    swap = f"UPDATE {table} SET {name} = $3 WHERE ctid = $1 AND {name} = $2 RETURNING 1"  # noqa: S608 - as above
    current = older = rotated = 0
    place: tuple[int, int] = (0, 0)
    async with db.connection() as connection:
        end = await connection.fetchval(f"SELECT max(ctid) FROM {table}")  # noqa: S608 - as above
        while end is not None and (rows := await connection.fetch(read, place)):
            for row in rows:
                if row["ctid"] > end:  # written since the pass began
                    return Counted(current, older, rotated)
                if ring.is_current(row["token"]):
                    current += 1
                    continue
                older += 1
                if rewrite:
                    rotated += len(await connection.fetch(swap, row["ctid"], row["token"], ring.rotate(row["token"])))
            place = rows[-1]["ctid"]
    return Counted(current, older, rotated)
