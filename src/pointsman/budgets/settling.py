"""Settling: what a run's calls really used takes the place of what they held, in the statement that records the usage."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.kit.db import Connection
from pointsman.usage.ledger import NAMES, TYPES, UsageRow, columns, counting

# A window that has ended is begun anew by whoever writes first, whatever for. What is held passes over into the new window: it is
# counted when it is settled, as its usage is.
_ROLLED = """
    SELECT c.number, greatest(c.window_start, w.started) AS started, w.started AS begins
    FROM budget_counters c JOIN budgets b ON b.number = c.number
    CROSS JOIN LATERAL (SELECT date_trunc(b.period, clock_timestamp(), 'UTC') AS started) w
"""

# Expects `held` (id), `asked` (run_id, status) and `mine` (usage of this statement by run) beside `spent`, the usage rows that are
# really inserted by it, so that a repeated statement adds nothing. A call's usage counts against those budgets that it was reserved
# of. Where no price could be counted after all, the whole reservation is spent.
SETTLING = f"""
    closing AS (
        SELECT h.id AS run_id FROM held h JOIN asked a ON a.run_id = h.id
        WHERE a.status <> 'running' OR h.id IN (SELECT run_id FROM mine)
    ), released AS (
        DELETE FROM budget_reservations r USING closing c WHERE r.run_id = c.run_id RETURNING r.run_id, r.number, r.amount
    ), billed AS (
        SELECT run_id, sum(prompt_tokens::numeric + completion_tokens) AS tokens, sum(cost) AS cost, bool_and(cost IS NOT NULL) AS is_priced
        FROM spent GROUP BY run_id
    ), billing AS (
        SELECT r.number, sum(r.amount) AS released, sum(CASE
            WHEN u.run_id IS NULL THEN 0
            WHEN b.unit = 'tokens' THEN u.tokens
            WHEN u.is_priced THEN u.cost
            ELSE greatest(u.cost, r.amount) END) AS used
        FROM (SELECT run_id, number, sum(amount) AS amount FROM released GROUP BY run_id, number) r
        JOIN budgets b ON b.number = r.number LEFT JOIN billed u ON u.run_id = r.run_id
        GROUP BY r.number
    ), rolled AS (
        {_ROLLED} WHERE c.number IN (SELECT number FROM billing) ORDER BY c.number FOR UPDATE OF c
    ), settled AS (
        UPDATE budget_counters c SET window_start = w.started, reserved = c.reserved - s.released,
            spent = s.used + CASE WHEN c.window_start >= w.begins THEN c.spent ELSE 0 END
        FROM billing s JOIN rolled w ON w.number = s.number WHERE c.number = s.number
    )"""  # noqa: S608 - made of constants

# Reservations whose run or job has ended or is gone, as those that a presumed dead process made behind its run's end. A run has a row
# before anything is reserved for it, and its end settles what it holds: what this finds belongs to nobody. What knowledge is searched or
# indexed for (`kno_`) has no row: it is settled within its one call, or its process died.
_SWEEP = """
WITH released AS (
    DELETE FROM budget_reservations r
    WHERE NOT CASE WHEN r.run_id LIKE 'job\\_%'
        THEN EXISTS (SELECT FROM execution_jobs
                     WHERE id = substr(r.run_id, 5)::uuid AND status IN ('queued', 'running', 'awaiting_approval'))
        WHEN r.run_id LIKE 'kno\\_%' THEN r.made_at > clock_timestamp() - interval '15 minutes'
        ELSE EXISTS (SELECT FROM runs WHERE id = r.run_id AND status IN ('pending', 'running', 'paused')) END
    RETURNING r.number, r.amount
), freed AS (
    SELECT number, sum(amount) AS amount FROM released GROUP BY number
), locked AS (
    SELECT c.number FROM budget_counters c WHERE c.number IN (SELECT number FROM freed) ORDER BY c.number FOR UPDATE
), settled AS (
    UPDATE budget_counters c SET reserved = c.reserved - f.amount
    FROM freed f JOIN locked l ON l.number = f.number WHERE c.number = f.number
)
SELECT count(*) FROM released
"""

_COLUMNS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, start=2))
_COUNT = f"""
WITH asked AS (
    SELECT $1::varchar AS run_id, 'settled' AS status
), held AS (
    SELECT run_id AS id FROM asked
), mine AS (
    SELECT * FROM unnest({_COLUMNS}) AS u ({NAMES})
), {counting("mine")}, {SETTLING}
SELECT count(*) FROM spent
"""  # noqa: S608 - made of constants


async def count_settled(connection: Connection, account: str, rows: Sequence[UsageRow]) -> int:
    """Count calls that belong to no run but to `account`, and give back all that it holds of budgets; how many were not counted before."""
    return await connection.fetchval(_COUNT, account, *columns(rows))


async def sweep(connection: Connection) -> int:
    """Give back what runs hold that have ended; how many reservations that were."""
    return await connection.fetchval(_SWEEP)


# A budget may be unknown to a process for a moment after it was made or changed: only one that is older tells.
_NEVER_RESERVED = """
SELECT EXISTS (SELECT FROM budgets b JOIN runs r ON r.id = $1
               WHERE b.number = ANY ($2::bigint[]) AND b.updated_at < r.created_at - interval '5 seconds')
   AND NOT EXISTS (SELECT FROM budget_reservations WHERE run_id = $1)
"""


async def never_reserved(connection: Connection, run_id: str, numbers: Sequence[int]) -> bool:
    """Whether one of these budgets applied to the run from its beginning, and the run holds nothing of any."""
    return await connection.fetchval(_NEVER_RESERVED, run_id, list(numbers))
