"""Every statement on deliveries: written by triggers, held by the database's clock, ended by whoever holds them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pointsman.kit.db import Connection, Record
from pointsman.webhooks.rows import Due

_DUE = "SELECT EXISTS (SELECT FROM webhook_deliveries WHERE status = 'pending' AND next_at <= clock_timestamp())"
# Only whoever died with all of its attempts leaves such a row: the last of them ended otherwise.
_GIVE_UP = """
UPDATE webhook_deliveries SET status = 'failed', last_error = 'The last attempt was not finished.', completed_at = clock_timestamp()
WHERE status = 'pending' AND next_at <= clock_timestamp() AND attempts >= $1
"""
# From each endpoint no more than there is room for: a slow one with ten thousand waiting takes no one else's turn.
_CLAIM = """
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, next_at = clock_timestamp() + $1::interval
FROM (
    SELECT p.id, e.url, e.encrypted_secret, CASE WHEN e.previous_until > clock_timestamp() THEN e.encrypted_previous_secret END AS previous
    FROM webhook_endpoints e LEFT JOIN unnest($2::varchar[], $3::int[]) AS b (id, busy) ON b.id = e.id
    CROSS JOIN LATERAL (
        SELECT id, next_at FROM webhook_deliveries
        WHERE endpoint_id = e.id AND status = 'pending' AND next_at <= clock_timestamp() ORDER BY next_at
        LIMIT greatest(0, CASE WHEN e.failures > 0 THEN 1 ELSE $4 END - coalesce(b.busy, 0)) FOR UPDATE SKIP LOCKED
    ) p
    WHERE e.is_active AND e.enabled ORDER BY p.next_at LIMIT $5
) c
WHERE d.id = c.id AND d.status = 'pending'
RETURNING d.id, d.endpoint_id AS whom, d.tenant_id, d.event_id, d.event_type, d.subject_id, d.payload, d.attempts,
          c.url, c.encrypted_secret, c.previous
"""
_CLAIM_CHANNELS = """
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, next_at = clock_timestamp() + $1::interval
FROM (
    SELECT p.id FROM unnest($2::varchar[], $3::int[]) AS b (id, room)
    CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries
        WHERE channel_id = b.id AND status = 'pending' AND next_at <= clock_timestamp() ORDER BY next_at
        LIMIT b.room FOR UPDATE SKIP LOCKED
    ) p
) c
WHERE d.id = c.id AND d.status = 'pending'
RETURNING d.id, d.channel_id AS whom, d.tenant_id, d.event_id, d.event_type, d.subject_id, d.payload, d.attempts
"""
_MINE = "id = $1 AND attempts = $2 AND status = 'pending'"
_END = f"""
UPDATE webhook_deliveries SET status = $3, last_status = $4, last_error = $5, completed_at = clock_timestamp() WHERE {_MINE}
"""  # noqa: S608 - a constant of this file, as below
_PUT_OFF = f"UPDATE webhook_deliveries SET next_at = clock_timestamp() + $3::interval, last_status = $4, last_error = $5 WHERE {_MINE}"  # noqa: S608
_CANCEL = (
    "UPDATE webhook_deliveries SET status = 'cancelled', completed_at = clock_timestamp() WHERE endpoint_id = $1 AND status = 'pending'"
)
_COLUMNS = """id, ordinal, event_id, event_type, subject_id, payload, status, attempts, last_status, last_error, created_at, completed_at,
              CASE WHEN status = 'pending' THEN next_at END AS next_at"""
_LIST = f"""
SELECT {_COLUMNS} FROM webhook_deliveries
WHERE endpoint_id = $1 AND ($2::varchar IS NULL OR status = $2) AND ($3::bigint IS NULL OR ordinal < $3) ORDER BY ordinal DESC LIMIT $4
"""  # noqa: S608
_TEST = """
INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, event_id, event_type, subject_id, payload, attempts, next_at)
VALUES ($1, $2, $3, $4, $5, $3, $6, 1, clock_timestamp() + $7::interval)
"""
_AGAIN = "SET status = 'pending', attempts = 0, next_at = clock_timestamp(), completed_at = NULL"
_REPLAY_ONE = f"UPDATE webhook_deliveries {_AGAIN} WHERE endpoint_id = $1 AND id = $2 AND status <> 'pending' RETURNING 1"
_REPLAY = f"""
UPDATE webhook_deliveries {_AGAIN} WHERE id IN (
    SELECT id FROM webhook_deliveries
    WHERE endpoint_id = $1 AND created_at >= $2 AND event_type <> $5
      AND (status IN ('failed', 'cancelled') OR (status = 'delivered' AND $3)) ORDER BY ordinal LIMIT $4
) RETURNING 1
"""  # noqa: S608


async def has_due(connection: Connection) -> bool:
    """Whether there is anything to do: all that an idle gateway asks."""
    return await connection.fetchval(_DUE)


async def give_up(connection: Connection, most_attempts: int) -> None:
    """End those whose holder died in their last attempt."""
    await connection.execute(_GIVE_UP, most_attempts)


async def claim(connection: Connection, lease: timedelta, busy: Mapping[str, int], *, each: int, most: int) -> list[Due]:
    """Take at most `most` for one attempt each; `busy` are those that this process has in hand, by endpoint."""
    rows = await connection.fetch(_CLAIM, lease, list(busy), list(busy.values()), each, most)
    return [
        _due(row, url=row["url"], encrypted_secrets=tuple(secret for secret in (row["encrypted_secret"], row["previous"]) if secret))
        for row in rows
    ]


async def claim_channels(connection: Connection, lease: timedelta, room: Mapping[str, int]) -> list[Due]:
    """Take what is to be told over these channels, as much as there is room for on each."""
    return [_due(row) for row in await connection.fetch(_CLAIM_CHANNELS, lease, list(room), list(room.values()))]


async def end(connection: Connection, due: Due, status: str, last_status: int | None, error: str | None) -> bool:
    """Whether it was still this attempt's to end."""
    return await connection.execute(_END, due.id, due.attempts, status, last_status, error) == "UPDATE 1"


async def put_off(connection: Connection, due: Due, delay: timedelta, last_status: int | None, error: str | None) -> bool:
    """Whether it was still this attempt's to end."""
    return await connection.execute(_PUT_OFF, due.id, due.attempts, delay, last_status, error) == "UPDATE 1"


async def cancel_pending(connection: Connection, endpoint_id: str) -> None:
    """Nothing of what waits is sent."""
    await connection.execute(_CANCEL, endpoint_id)


async def list_deliveries(connection: Connection, endpoint_id: str, status: str | None, before: int | None, limit: int) -> list[Record]:
    """Newest first."""
    return await connection.fetch(_LIST, endpoint_id, status, before, limit)


async def insert_test(connection: Connection, due: Due, lease: timedelta) -> None:
    """A delivery in its only attempt."""
    await connection.execute(_TEST, due.id, due.tenant_id, due.whom, due.event_id, due.event_type, due.payload, lease)


async def has_delivery(connection: Connection, endpoint_id: str, delivery_id: str) -> bool:
    """Whether it is one of the endpoint's."""
    statement = "SELECT EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = $1 AND id = $2)"
    return await connection.fetchval(statement, endpoint_id, delivery_id)


async def replay_one(connection: Connection, endpoint_id: str, delivery_id: str) -> int:
    """1, or 0 where it waits already."""
    return len(await connection.fetch(_REPLAY_ONE, endpoint_id, delivery_id))


async def replay_since(connection: Connection, endpoint_id: str, since: dt.datetime, *, delivered: bool, most: int, but: str) -> int:
    """Send again what was not delivered since a moment, oldest first, and what was where `delivered`; how many."""
    return len(await connection.fetch(_REPLAY, endpoint_id, since, delivered, most, but))


async def sync_channels(connection: Connection, ids: Sequence[str]) -> None:
    """Let these be the channels; what waits for others goes with them."""
    await connection.execute("DELETE FROM notify_channels WHERE id <> ALL ($1)", list(ids))
    await connection.execute("INSERT INTO notify_channels (id) SELECT unnest($1::varchar[]) ON CONFLICT DO NOTHING", list(ids))


async def list_channels(connection: Connection) -> set[str]:
    """Ids of those that are there."""
    return {row["id"] for row in await connection.fetch("SELECT id FROM notify_channels")}


def _due(row: Record, *, url: str = "", encrypted_secrets: tuple[str, ...] = ()) -> Due:
    names = ("id", "whom", "tenant_id", "event_id", "event_type", "subject_id", "payload", "attempts")
    return Due(**{name: row[name] for name in names}, url=url, encrypted_secrets=encrypted_secrets)
