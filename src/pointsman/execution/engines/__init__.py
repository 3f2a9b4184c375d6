"""The registry of engines: an engine's type leads to its module, which is imported when the first engine of that type is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from pointsman.budgets.metering import Budgets
from pointsman.execution.ports import Engine
from pointsman.execution.rows import ExecutionEngine
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress, Trusted
from pointsman.llm.models import Models
from pointsman.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What engines may be made of."""

    settings: Settings
    db: Database
    models: Models
    budgets: Budgets
    egress: Egress
    trusted: Trusted


def make_engine(engine: ExecutionEngine, parts: Parts) -> Engine:
    """An engine as this row describes it."""
    return importlib.import_module(f"{__name__}.{engine.type}").make(engine, parts)
