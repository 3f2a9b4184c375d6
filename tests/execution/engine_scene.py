"""What engines are made of, on a real database, with models of this machine only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pointsman.budgets.metering import Budgets
from pointsman.execution.engines import Parts
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress, Trusted
from pointsman.kit.notify import Listener
from pointsman.llm.models import Models
from pointsman.settings import Settings


@asynccontextmanager
async def parts_of(settings: Settings, db: Database, dsn: str) -> AsyncGenerator[Parts]:
    models, egress, trusted = Models(settings), Egress(), Trusted()
    try:
        yield Parts(settings, db, models, Budgets(db, Listener(dsn), 4096), egress, trusted)
    finally:
        await models.aclose()
        await egress.aclose()
        await trusted.aclose()
