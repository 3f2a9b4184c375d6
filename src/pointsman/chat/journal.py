"""What a run writes: its opening, its steps and its end, each durable before anybody is told, many runs to a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pointsman.budgets.settling import SETTLING
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_commit import GroupCommit, Write
from pointsman.runs.events import Event, pack
from pointsman.runs.live import BLOCK
from pointsman.usage.ledger import NAMES, TYPES, UsageRow, columns, counting

Opening = Literal["opened", "busy", "waiting", "foreign", "exists", "orphaned"]
Status = Literal["running", "paused", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run to be opened, with its session, the user's message and its first event.

    `agent_id` is who speaks in the session, where that is not the subject. A run with a parent is opened only while that one is driven
    under `parent_epoch`; its session belongs to the parent's.
    """

    id: str
    tenant_id: str
    kind: str
    subject: str
    session_id: str
    user_id: str | None
    key_id: int | None
    request: str
    snapshot: str
    verbosity: str
    replica: str
    message: str
    started: Event
    agent_id: str | None = None
    parent_run_id: str | None = None
    parent_epoch: int | None = None
    parent_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be recorded, as JSON."""

    position: int
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of a run, or its end, with everything that must be durable together.

    `reserve` raises the highest event id that may be sent.
    """

    run_id: str
    epoch: int
    tenant_id: str
    session_id: str
    status: Status = "running"
    messages: tuple[NewMessage, ...] = ()
    usages: tuple[UsageRow, ...] = ()
    events: tuple[Event, ...] = ()
    result: str | None = None
    error: str | None = None
    reserve: int = 0


_OPENING = failpoints.declare("runs.open", "A run is opened: its session, its row, the user's message and the first event.")
_MODEL_STEP = failpoints.declare(
    "runs.model_step", "An answer of the model that calls tools, or was not accepted, is recorded with its usage."
)
_TOOL_STEP = failpoints.declare("runs.tool_step", "The result of a tool is recorded.")
_CUT_OFF = failpoints.declare("runs.cut_off", "After a take-over the model call amid which the former replica died is counted by estimate.")
_RELAYING = failpoints.declare("runs.relay", "What a member of a team did is told in the stream of the team's run.")
_RESERVING = failpoints.declare("runs.reserve", "Another block of event ids is reserved, for a long stream.")
_CANCELLING = failpoints.declare("runs.cancel", "A run ends because somebody cancelled it.")
_ENDING = failpoints.declare("runs.end", "A run ends with its answer or its problem: the last message, usage and event.")


def _failpoint_of(entry: Entry) -> failpoints.Failpoint:
    if entry.status != "running":
        return _CANCELLING if entry.status == "cancelled" else _ENDING
    if entry.messages:
        return _TOOL_STEP if entry.messages[0].role == "tool" else _MODEL_STEP
    if entry.usages:
        return _CUT_OFF
    return _RESERVING if entry.reserve else _RELAYING


class Journal:
    """The group-commit writer of runs; `enter` returns false when the run is no longer this replica's."""

    def __init__(self, db: Database, owes: Callable[[str], bool]) -> None:
        """Make one; `owes` says whether a run may hold reservations of budgets, which its steps with usage and its end then settle."""
        self._opening: GroupCommit[OpenRun, Opening] = GroupCommit(
            db, _open, name="runs.open", key=lambda run: run.id, most=64, failpoint=lambda _: _OPENING
        )
        self._entering: GroupCommit[Entry, bool] = GroupCommit(
            db, _entering(owes), name="runs.steps", key=lambda entry: entry.run_id, most=64, failpoint=_failpoint_of
        )

    async def open(self, run: OpenRun, *, patience: float) -> Opening:
        """Open a run. Raises Unavailable when the database stays away for `patience` seconds."""
        return await self._opening.commit(run, patience=patience)

    async def enter(self, entry: Entry) -> bool:
        """Record a step or the end, however long the database is away."""
        return await self._entering.commit(entry)

    async def run_opening(self) -> None:
        """Write openings until cancelled."""
        await self._opening.run()

    async def run_entering(self) -> None:
        """Write steps and ends until cancelled."""
        await self._entering.run()


# One statement is one transaction and one round trip. A session's row is touched first and in a fixed order, so that two
# batches cannot wait for each other. `ON CONFLICT DO NOTHING` makes the statement safe to repeat and refuses a second live run
# of a session (uq_runs_session_live).
_OPEN = """
WITH asked AS (
    SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::varchar[], $5::varchar[], $6::varchar[], $7::int[], $8::text[],
                         $9::varchar[], $10::varchar[], $11::varchar[], $12::text[], $13::text[], $15::varchar[], $16::varchar[],
                         $17::int[], $18::varchar[])
    AS a (id, tenant_id, kind, subject, session_id, user_id, key_id, request, snapshot, verbosity, replica, message, event, agent_id,
          parent_run_id, parent_epoch, parent_session_id)
), talk AS (
    INSERT INTO sessions (tenant_id, id, user_id, agent_id, parent_id)
    SELECT DISTINCT ON (tenant_id, session_id) tenant_id, session_id, user_id, coalesce(agent_id, subject), parent_session_id
    FROM asked ORDER BY tenant_id, session_id
    ON CONFLICT (tenant_id, id) DO UPDATE SET updated_at = clock_timestamp()
        WHERE sessions.user_id IS NOT DISTINCT FROM excluded.user_id
    RETURNING tenant_id, id, user_id
), opened AS (
    INSERT INTO runs (id, tenant_id, kind, subject, status, session_id, user_id, key_id, request, snapshot, stream_verbosity, replica,
                      reserved_seq, parent_run_id)
    SELECT a.id, a.tenant_id, a.kind, a.subject, 'running', a.session_id, a.user_id, a.key_id, a.request::json, a.snapshot, a.verbosity,
           a.replica, $14, a.parent_run_id
    FROM asked a
    JOIN talk t ON t.tenant_id = a.tenant_id AND t.id = a.session_id AND t.user_id IS NOT DISTINCT FROM a.user_id
    WHERE a.parent_run_id IS NULL
       OR EXISTS (SELECT FROM runs p WHERE p.id = a.parent_run_id AND p.epoch = a.parent_epoch AND p.status = 'running')
    ON CONFLICT DO NOTHING
    RETURNING id
), said AS (
    INSERT INTO messages (run_id, position, tenant_id, session_id, role, content)
    SELECT a.id, 0, a.tenant_id, a.session_id, 'user', a.message::json FROM asked a JOIN opened o ON o.id = a.id
), told AS (
    INSERT INTO run_events (run_id, seq, last_seq, data)
    SELECT a.id, 1, 1, a.event::json FROM asked a JOIN opened o ON o.id = a.id
)
SELECT id FROM opened
"""

_WHY_NOT = """
SELECT a.id,
       EXISTS (SELECT FROM runs r WHERE r.id = a.id AND r.replica = a.replica AND r.epoch = 1) AS ours,
       EXISTS (SELECT FROM runs r WHERE r.id = a.id) AS known,
       EXISTS (SELECT FROM sessions s WHERE s.tenant_id = a.tenant_id AND s.id = a.session_id
                                        AND s.user_id IS DISTINCT FROM a.user_id) AS foreign_session,
       EXISTS (SELECT FROM runs r WHERE r.tenant_id = a.tenant_id AND r.session_id = a.session_id AND r.status = 'paused') AS waiting,
       a.parent_run_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM runs p WHERE p.id = a.parent_run_id AND p.epoch = a.parent_epoch AND p.status = 'running') AS orphaned
FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::varchar[], $5::varchar[], $6::varchar[], $7::int[])
    AS a (id, tenant_id, session_id, user_id, replica, parent_run_id, parent_epoch)
"""


async def _open(connection: Connection, runs: Sequence[OpenRun]) -> list[Opening]:
    rows = await connection.fetch(
        _OPEN,
        [run.id for run in runs],
        [run.tenant_id for run in runs],
        [run.kind for run in runs],
        [run.subject for run in runs],
        [run.session_id for run in runs],
        [run.user_id for run in runs],
        [run.key_id for run in runs],
        [run.request for run in runs],
        [run.snapshot for run in runs],
        [run.verbosity for run in runs],
        [run.replica for run in runs],
        [run.message for run in runs],
        [pack([run.started]) for run in runs],
        BLOCK,
        [run.agent_id for run in runs],
        [run.parent_run_id for run in runs],
        [run.parent_epoch for run in runs],
        [run.parent_session_id for run in runs],
    )
    opened = {row["id"] for row in rows}
    refused = [run for run in runs if run.id not in opened]
    reasons = await _why_not(connection, refused) if refused else {}
    return ["opened" if run.id in opened else reasons[run.id] for run in runs]


async def _why_not(connection: Connection, runs: Sequence[OpenRun]) -> dict[str, Opening]:
    rows = await connection.fetch(
        _WHY_NOT,
        [run.id for run in runs],
        [run.tenant_id for run in runs],
        [run.session_id for run in runs],
        [run.user_id for run in runs],
        [run.replica for run in runs],
        [run.parent_run_id for run in runs],
        [run.parent_epoch for run in runs],
    )
    reasons: dict[str, Opening] = {}
    for row in rows:
        if row["ours"]:  # an earlier attempt of this very opening had been committed when its connection died
            reasons[row["id"]] = "opened"
        elif row["known"]:
            reasons[row["id"]] = "exists"
        elif row["orphaned"]:
            reasons[row["id"]] = "orphaned"
        else:
            reasons[row["id"]] = "foreign" if row["foreign_session"] else "waiting" if row["waiting"] else "busy"
    return reasons


_USAGE = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, start=18))

# The update of the run's row is the fence: it takes the row's lock and finds nothing once another replica has raised the epoch
# or the run has ended. Everything else hangs on what it returns.
_STEPS = f"""
WITH asked AS (
    SELECT * FROM unnest($1::varchar[], $2::int[], $3::varchar[], $4::text[], $5::text[], $6::int[])
    AS a (run_id, epoch, status, result, error, reserve)
), held AS (
    UPDATE runs r SET status = a.status, result = a.result::json, error = a.error::json, reserved_seq = greatest(reserved_seq, a.reserve),
        completed_at = CASE WHEN a.status = 'running' THEN NULL ELSE clock_timestamp() END
    FROM asked a WHERE r.id = a.run_id AND r.epoch = a.epoch AND r.status = 'running'
    RETURNING r.id
), said AS (
    INSERT INTO messages (run_id, position, tenant_id, session_id, role, content)
    SELECT m.run_id, m.position, m.tenant_id, m.session_id, m.role, m.content::json
    FROM unnest($7::varchar[], $8::int[], $9::varchar[], $10::varchar[], $11::varchar[], $12::text[])
        AS m (run_id, position, tenant_id, session_id, role, content)
    JOIN held h ON h.id = m.run_id
    ON CONFLICT DO NOTHING
), told AS (
    INSERT INTO run_events (run_id, seq, last_seq, data)
    SELECT e.run_id, e.seq, e.last_seq, e.data::json
    FROM unnest($13::varchar[], $14::int[], $15::int[], $16::text[]) AS e (run_id, seq, last_seq, data)
    JOIN held h ON h.id = e.run_id
    ON CONFLICT DO NOTHING
), mine AS (
    SELECT u.* FROM unnest({_USAGE}) AS u ({NAMES}) JOIN held h ON h.id = u.run_id WHERE $17
), {counting("mine")}"""  # noqa: S608 - made of constants
_END = " SELECT id FROM held"
_ENTER = _STEPS + _END
_ENTER_SETTLING = f"{_STEPS}, {SETTLING} {_END}"

# A repeated end finds the run ended, by this same epoch: then the first attempt was committed.
_ALREADY = """
SELECT r.id FROM runs r JOIN unnest($1::varchar[], $2::int[], $3::varchar[]) AS a (id, epoch, status)
ON r.id = a.id AND r.epoch = a.epoch AND r.status = a.status AND a.status <> 'running'
"""


def _entering(owes: Callable[[str], bool]) -> Write[Entry, bool]:
    async def enter(connection: Connection, entries: Sequence[Entry]) -> list[bool]:
        # Without reservations nothing is to be paid for budgets.
        return await _enter(connection, entries, _ENTER_SETTLING if any(owes(entry.run_id) for entry in entries) else _ENTER)

    return enter


async def _enter(connection: Connection, entries: Sequence[Entry], statement: str) -> list[bool]:
    messages = [(entry, message) for entry in entries for message in entry.messages]
    told = [entry for entry in entries if entry.events]
    usages = [usage for entry in entries for usage in entry.usages]
    rows = await connection.fetch(
        statement,
        [entry.run_id for entry in entries],
        [entry.epoch for entry in entries],
        [entry.status for entry in entries],
        [entry.result for entry in entries],
        [entry.error for entry in entries],
        [entry.reserve for entry in entries],
        [entry.run_id for entry, _ in messages],
        [message.position for _, message in messages],
        [entry.tenant_id for entry, _ in messages],
        [entry.session_id for entry, _ in messages],
        [message.role for _, message in messages],
        [message.content for _, message in messages],
        [entry.run_id for entry in told],
        [entry.events[0].seq for entry in told],
        [entry.events[-1].seq for entry in told],
        [pack(entry.events) for entry in told],
        bool(usages),
        *columns(usages),
    )
    held = {row["id"] for row in rows}
    lost = [entry for entry in entries if entry.run_id not in held]
    if lost:
        found = await connection.fetch(
            _ALREADY, [entry.run_id for entry in lost], [entry.epoch for entry in lost], [entry.status for entry in lost]
        )
        held |= {row["id"] for row in found}
    return [entry.run_id in held for entry in entries]
