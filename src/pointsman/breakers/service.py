"""The verbs of breakers for operators: list, and close by hand."""

from __future__ import annotations

from pointsman.audit.service import record
from pointsman.breakers import queries
from pointsman.breakers.breaking import TOPIC
from pointsman.breakers.errors import BreakerNotFound, BreakerOfOperator
from pointsman.breakers.schemas import BreakerRead, State
from pointsman.kit.db import Database
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.web.paging import Page, decode_cursor, page_of


class BreakerService:
    """Reads and resets breakers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_breakers(self, principal: Principal, *, state: State | None, limit: int, cursor: str | None) -> Page[BreakerRead]:
        """By id. Why something failed is told to operators only: it may be another tenant's job that met it."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_breakers(connection, state=state, after=key[0] if key else None, limit=limit + 1)
        return page_of(rows, limit, lambda row: BreakerRead.of(row, whole=principal.is_operator), lambda row: (row["id"],))

    async def reset_breaker(self, principal: Principal, breaker_id: str) -> BreakerRead:
        """Closed as if it had worked; whatever is tried next shows. Repeatable. Raises BreakerNotFound, BreakerOfOperator."""
        if not principal.is_operator:
            raise BreakerOfOperator("This key belongs to a tenant.", hint="Use a key without owner_id: an operator's.")
        async with self._db.transaction() as connection:
            row = await queries.reset(connection, breaker_id)
            if row is None:
                raise BreakerNotFound(f"Nothing of the id {breaker_id!r} has failed.", hint="GET /v2/breakers lists what has.")
            await record(connection, principal, "breaker.reset", "breaker", breaker_id, {})
            await notify(connection, TOPIC, breaker_id)
        return BreakerRead.of(row, whole=True)
