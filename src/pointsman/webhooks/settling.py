"""What an attempt's outcome means for its delivery and its endpoint, in one transaction; whoever comes too late changes nothing."""

from __future__ import annotations

from pointsman.audit.service import record
from pointsman.kit.db import Connection
from pointsman.webhooks import delivery_queries, queries
from pointsman.webhooks.pace import delay
from pointsman.webhooks.rows import Due, Outcome

_GONE = "it answered 410 Gone"


async def settle(connection: Connection, due: Due, outcome: Outcome, *, once: bool = False) -> None:
    """End the delivery or put it off; `once` leaves it at this attempt. An endpoint that is gone is disabled with all that waits for it."""
    if due.url:
        # Before any delivery: whoever disables an endpoint takes its lock, then those of all that waits for it.
        await queries.lock_endpoint(connection, due.whom)
    if not await _settle_delivery(connection, due, outcome, once=once) or not due.url:
        return
    if outcome.delivered:
        await queries.forget_failures(connection, due.whom)
        return
    await queries.count_failure(connection, due.whom)
    if outcome.gone and (tenant := await queries.disable(connection, due.whom, _GONE)) is not None:
        await delivery_queries.cancel_pending(connection, due.whom)
        await record(connection, None, "webhook.disabled", "webhook", due.whom, {"reason": _GONE}, tenant=tenant)


async def _settle_delivery(connection: Connection, due: Due, outcome: Outcome, *, once: bool) -> bool:
    wait = None if once or outcome.gone or outcome.pointless else delay(due.attempts, outcome.retry_after)
    if outcome.delivered or wait is None:
        status = "delivered" if outcome.delivered else "cancelled" if outcome.pointless else "failed"
        return await delivery_queries.end(connection, due, status, outcome.status, outcome.error)
    return await delivery_queries.put_off(connection, due, wait, outcome.status, outcome.error)
