"""Reserving: many calls' estimates in one statement, granted only where each fits into all of its budgets, exact across replicas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.group_commit import GroupCommit

_RESERVING = failpoints.declare("budgets.reserve", "What a model call may cost is reserved of its budgets, before the model is asked.")


class Line(NamedTuple):
    """What a call asks of one budget."""

    number: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call of a run asks of its budgets; `slot` numbers the asks of one owner of the run."""

    run_id: str
    epoch: int
    slot: int
    lines: tuple[Line, ...]


class Room(NamedTuple):
    """What is left of a budget, what would be if calls under way gave all of theirs back, and when it begins anew."""

    left: Decimal
    unspent: Decimal
    resets_at: dt.datetime
    resets_in: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Each of the call's budgets by number, and those that it does not fit into."""

    rooms: dict[int, Room]
    full: tuple[int, ...]


Verdict = Literal["granted", "again"] | Refusal


class Reserver:
    """The group-commit writer of reservations."""

    def __init__(self, db: Database) -> None:
        self._writer: GroupCommit[Ask, Verdict] = GroupCommit(
            db, _reserve, name="budgets.reserve", key=lambda ask: ask.run_id, most=64, failpoint=lambda _: _RESERVING
        )

    async def run(self) -> None:
        """Write until cancelled."""
        await self._writer.run()

    async def reserve(self, ask: Ask) -> Refusal | None:
        """None once it is reserved. While the database is away it waits, as every write of an open run does."""
        while True:
            verdict = await self._writer.commit(ask)
            if verdict != "again":
                return None if verdict == "granted" else verdict


# One statement is one transaction. Counters are locked in the order of their numbers, so that two statements never wait for each
# other in a circle, and are then read as whoever held them last has left them (`locked`). Asks are granted in their order, as far
# as the sum of those before them leaves room (`running`). One that does not fit even alone is refused, and stands in nobody's way;
# one that only does not fit behind the others is asked again.
# Repeated after a lost confirmation, an ask finds its own rows (`known`, or the conflict) and counts nothing twice: the counters
# rise by what was really inserted.
_RESERVE = """
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::varchar[], $3::int[], $4::int[], $5::bigint[], $6::numeric[])
    AS a (op, run_id, epoch, slot, number, amount)
), locked AS (
    SELECT c.number, c.amount, c.window_start, c.spent, c.reserved FROM budget_counters c
    WHERE c.number IN (SELECT number FROM asked) ORDER BY c.number FOR UPDATE
), standing AS (
    SELECT l.number, b.is_active, b.period, w.now, l.amount, greatest(l.window_start, w.started) AS started,
           CASE WHEN l.window_start >= w.started THEN l.spent ELSE 0 END AS spent, l.reserved
    FROM locked l JOIN budgets b ON b.number = l.number
    CROSS JOIN LATERAL (SELECT now, date_trunc(b.period, now, 'UTC') AS started FROM (SELECT clock_timestamp() AS now) t) w
), weighed AS (
    SELECT a.*, s.amount - s.spent - s.reserved AS room,
           EXISTS (SELECT FROM budget_reservations r
                   WHERE r.run_id = a.run_id AND r.epoch = a.epoch AND r.slot = a.slot AND r.number = a.number) AS known
    FROM asked a JOIN standing s ON s.number = a.number WHERE s.is_active
), hopeless AS (
    SELECT DISTINCT op FROM weighed WHERE amount > room AND NOT known
), queued AS (
    SELECT w.*, sum(CASE WHEN known THEN 0 ELSE amount END) OVER (PARTITION BY number ORDER BY op) AS running
    FROM weighed w WHERE op NOT IN (SELECT op FROM hopeless)
), granted AS (
    SELECT op FROM queued GROUP BY op HAVING bool_and(known OR running <= room)
), noted AS (
    INSERT INTO budget_reservations (run_id, epoch, slot, number, amount)
    SELECT q.run_id, q.epoch, q.slot, q.number, q.amount FROM queued q JOIN granted g ON g.op = q.op WHERE NOT q.known
    ON CONFLICT DO NOTHING
    RETURNING number, amount
), counted AS (
    UPDATE budget_counters c SET window_start = s.started, spent = s.spent, reserved = s.reserved + n.amount
    FROM standing s JOIN (SELECT number, sum(amount) AS amount FROM noted GROUP BY number) n ON n.number = s.number
    WHERE c.number = s.number
)
SELECT w.op, w.number, w.amount > w.room AND NOT w.known AS is_full, w.op IN (SELECT op FROM granted) AS is_granted,
       w.op IN (SELECT op FROM hopeless) AS is_refused, w.room, s.amount - s.spent AS unspent, r.resets_at,
       extract(epoch FROM r.resets_at - s.now)::float8 AS resets_in
FROM weighed w JOIN standing s ON s.number = w.number
CROSS JOIN LATERAL (SELECT (s.started AT TIME ZONE 'UTC' + ('1 ' || s.period)::interval) AT TIME ZONE 'UTC' AS resets_at) r
"""


async def _reserve(connection: Connection, asks: Sequence[Ask]) -> list[Verdict]:
    lines = [(op, ask, line) for op, ask in enumerate(asks) for line in ask.lines]
    rows = await connection.fetch(
        _RESERVE,
        [op for op, _, _ in lines],
        [ask.run_id for _, ask, _ in lines],
        [ask.epoch for _, ask, _ in lines],
        [ask.slot for _, ask, _ in lines],
        [line.number for _, _, line in lines],
        [line.amount for _, _, line in lines],
    )
    verdicts: list[Verdict] = [_verdict([row for row in rows if row["op"] == op]) for op in range(len(asks))]
    if not any(isinstance(verdict, Refusal) for verdict in verdicts):
        return verdicts
    made = await _made(connection, asks)
    return ["granted" if op in made else verdict for op, verdict in enumerate(verdicts)]


# An ask whose connection was lost may still wait for the counters in the server, and then get them ahead of its own repetition. That
# one, which had looked before, finds the room taken by itself: only a statement that begins after it sees the rows.
_MADE = """
SELECT DISTINCT a.op FROM unnest($1::int[], $2::varchar[], $3::int[], $4::int[]) AS a (op, run_id, epoch, slot)
JOIN budget_reservations r ON r.run_id = a.run_id AND r.epoch = a.epoch AND r.slot = a.slot
"""


async def _made(connection: Connection, asks: Sequence[Ask]) -> set[int]:
    """Which of these asks have been reserved, by their position; an ask is reserved of all its budgets or of none."""
    rows = await connection.fetch(
        _MADE, [*range(len(asks))], [ask.run_id for ask in asks], [ask.epoch for ask in asks], [ask.slot for ask in asks]
    )
    return {row["op"] for row in rows}


def _verdict(rows: Sequence[Record]) -> Verdict:
    """Budgets that are gone by now have no row, and limit nothing."""
    if any(row["is_refused"] for row in rows):
        rooms = {row["number"]: Room(row["room"], row["unspent"], row["resets_at"], row["resets_in"]) for row in rows}
        return Refusal(rooms, tuple(row["number"] for row in rows if row["is_full"]))
    return "granted" if all(row["is_granted"] for row in rows) else "again"
