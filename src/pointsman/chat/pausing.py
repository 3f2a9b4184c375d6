"""Pausing a run: what it asks for, its events and its new status in one transaction, after which nothing of it is held anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pointsman.approvals.deciding import told
from pointsman.approvals.queries import list_of_children
from pointsman.approvals.rows import Approval, Asking
from pointsman.approvals.service import ask
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.runs.events import APPROVAL_REQUESTED, Event, encode, pack
from pointsman.runs.queries import hold_paused_children

Paused = Literal["paused", "moot", "cancelled", "lost"]

_PAUSING = failpoints.declare("runs.pause", "A run that waits for decisions is paused: its approvals, their events and its status.")

# The lock comes first: a cancel that was asked for before is seen here, one that comes later finds the run paused.
_LOCK = "SELECT status, epoch, resumed_epoch, cancel_requested FROM runs WHERE id = $1 FOR UPDATE"
# Ids that were reserved and not used are given back: no process died, so none may be missing.
_PAUSE = "UPDATE runs SET status = 'paused', replica = NULL WHERE id = $1"
_ANSWER = "UPDATE runs SET result = $2::text::json, reserved_seq = $3 WHERE id = $1"
_TELL = "INSERT INTO run_events (run_id, seq, last_seq, data) VALUES ($1, $2, $3, $4::text::json) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Pausing:
    """A run that asks. `sent` are events that are not stored yet, `next_seq` the id of the next one; `body` makes its answer."""

    run_id: str
    epoch: int
    asking: tuple[Asking, ...]
    sent: tuple[Event, ...]
    next_seq: int
    body: Callable[[Sequence[dict[str, Any]]], bytes]
    ttl: timedelta


async def pause(db: Database, pausing: Pausing) -> tuple[Paused, bytes]:
    """What became of it, and the run's answer. Safe to repeat when a connection was lost; raises Unavailable."""
    async with db.transaction() as connection:
        paused = await _pause(connection, pausing)
    await _PAUSING.reach("after")
    return paused


async def _pause(connection: Connection, pausing: Pausing) -> tuple[Paused, bytes]:
    await _PAUSING.reach("before")
    waits = bool(pausing.asking) or await hold_paused_children(connection, pausing.run_id)
    run = await connection.fetchrow(_LOCK, pausing.run_id)
    if run is None or run["epoch"] != pausing.epoch:
        return "lost", b""
    # An earlier attempt was committed when its connection died, and somebody may have decided since.
    done = run["status"] == "paused" or run["resumed_epoch"] == pausing.epoch
    if not done and run["status"] != "running":
        return "lost", b""
    if not done and run["cancel_requested"]:
        return "cancelled", b""
    if not done and not waits:
        return "moot", b""
    if not done:
        await connection.execute(_PAUSE, pausing.run_id)
    approvals = [(await ask(connection, asking, pausing.ttl)) for asking in pausing.asking]
    theirs = await list_of_children(connection, pausing.run_id)
    body = pausing.body([*map(told, approvals), *({**told(approval), "run_id": approval.run_id} for approval in theirs)])
    if not done:
        await _store(connection, pausing, approvals, body)
    await _PAUSING.reach("in")
    return "paused", body


async def _store(connection: Connection, pausing: Pausing, approvals: Sequence[Approval], body: bytes) -> None:
    events = [*pausing.sent]
    for number, approval in enumerate(approvals, pausing.next_seq):
        events.append(encode(pausing.run_id, number, APPROVAL_REQUESTED, told(approval)))
    if events:
        await connection.execute(_TELL, pausing.run_id, events[0].seq, events[-1].seq, pack(events))
    await connection.execute(_ANSWER, pausing.run_id, body.decode(), events[-1].seq if events else pausing.next_seq - 1)
