"""Every statement about budgets as data; each returns rows or None. What calls do to them is in `reserving` and `settling`."""

from __future__ import annotations

from decimal import Decimal

from pointsman.budgets.rows import ActiveBudget, Budget, NewBudget
from pointsman.kit.db import Connection

_FIELDS = """b.number, b.tenant_id, b.id, b.name, b.subject_type, b.subject_id, b.family_id, b.unit, b.period, b.by_operator, b.is_active,
       b.created_at, b.updated_at"""
# A window ends by the clock, whether or not anybody has written since.
_READ = f"""
SELECT {_FIELDS}, c.amount, CASE WHEN c.window_start >= w.started THEN c.spent ELSE 0 END AS spent, c.reserved,
       w.started AS window_started_at, (w.started AT TIME ZONE 'UTC' + ('1 ' || b.period)::interval) AT TIME ZONE 'UTC' AS resets_at
  FROM budgets b JOIN budget_counters c ON c.number = b.number
 CROSS JOIN LATERAL (SELECT date_trunc(b.period, clock_timestamp(), 'UTC') AS started) w
"""
# What a tenant of None sees is everything.
_VISIBLE = "($1::varchar IS NULL OR b.tenant_id = $1)"

# Budgets change seldom. One lock for all changes makes versions become visible in their order, so that a cache that has read up to
# one never misses an earlier one.
_CHANGES_LOCK = 0x504D_4255_4447


async def lock_changes(connection: Connection) -> None:
    """Until the transaction ends, nobody else changes any budget."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _CHANGES_LOCK)


async def find_budgets(connection: Connection, budget_id: str, tenant: str | None) -> list[Budget]:
    """Visible ones of that id, at most three: active ones first, of those an operator's."""
    rows = await connection.fetch(
        f"{_READ} WHERE {_VISIBLE} AND b.id = $2 ORDER BY b.is_active DESC, b.by_operator DESC LIMIT 3", tenant, budget_id
    )
    return [Budget.of(row) for row in rows]


async def list_budgets(
    connection: Connection,
    tenant: str | None,
    *,
    subject_type: str | None,
    subject_id: str | None,
    include_inactive: bool,
    before: int | None,
    limit: int,
) -> list[Budget]:
    """Newest first."""
    rows = await connection.fetch(
        f"""
        {_READ}
         WHERE {_VISIBLE} AND ($2::varchar IS NULL OR b.subject_type = $2) AND ($3::varchar IS NULL OR b.subject_id = $3)
           AND ($4 OR b.is_active) AND ($5::bigint IS NULL OR b.number < $5)
         ORDER BY b.number DESC LIMIT $6
        """,
        tenant,
        subject_type,
        subject_id,
        include_inactive,
        before,
        limit,
    )
    return [Budget.of(row) for row in rows]


_VERSION = "(SELECT coalesce(max(version), 0) + 1 FROM budgets)"


async def insert_budget(connection: Connection, new: NewBudget, amount: Decimal) -> int:
    """A budget that was not there; its number."""
    return await connection.fetchval(
        f"""
        WITH made AS (
            INSERT INTO budgets (tenant_id, id, name, subject_type, subject_id, family_id, unit, period, by_operator, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {_VERSION}) RETURNING number, period
        ), counted AS (
            INSERT INTO budget_counters (number, amount, window_start)
            SELECT number, $10, date_trunc(period, clock_timestamp(), 'UTC') FROM made
        )
        SELECT number FROM made
        """,
        *new,
        amount,
    )


async def replace_budget(connection: Connection, number: int, new: NewBudget, amount: Decimal, *, anew: bool) -> None:
    """A deleted budget comes back as it is now described; `anew` forgets what was counted, as another subject or unit asks for."""
    await connection.execute(
        f"""
        UPDATE budgets SET name = $2, subject_type = $3, subject_id = $4, family_id = $5, unit = $6, period = $7, by_operator = $8,
               is_active = true, updated_at = clock_timestamp(), version = {_VERSION}
         WHERE number = $1
        """,
        number,
        *new[2:],
    )
    await connection.execute("UPDATE budget_counters SET amount = $2 WHERE number = $1", number, amount)
    if anew:
        # Calls under way hold nothing of the new budget; without their reservations they are not settled against it either.
        await connection.execute("UPDATE budget_counters SET spent = 0, reserved = 0 WHERE number = $1", number)
        await connection.execute("DELETE FROM budget_reservations WHERE number = $1", number)


async def update_budget(connection: Connection, number: int, *, name: str | None, amount: Decimal, is_active: bool) -> None:
    """The caller holds the lock on all changes."""
    await connection.execute(
        f"UPDATE budgets SET name = $2, is_active = $3, updated_at = clock_timestamp(), version = {_VERSION} WHERE number = $1",
        number,
        name,
        is_active,
    )
    await connection.execute("UPDATE budget_counters SET amount = $2 WHERE number = $1", number, amount)


async def require_one(connection: Connection, number: int) -> Budget:
    """The budget with that number, which is there."""
    row = await connection.fetchrow(f"{_READ} WHERE b.number = $1", number)
    assert row is not None
    return Budget.of(row)


async def list_changed(connection: Connection, version: int) -> list[tuple[ActiveBudget, bool]]:
    """Budgets that changed since that version, in the order of their changes, and whether each is active."""
    rows = await connection.fetch(
        """
        SELECT number, tenant_id, id, subject_type, subject_id, family_id, unit, period, version, is_active
          FROM budgets WHERE version > $1 ORDER BY version
        """,
        version,
    )
    return [(ActiveBudget(*(row[name] for name in ActiveBudget._fields)), row["is_active"]) for row in rows]
