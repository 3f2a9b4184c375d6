"""Where a command's log goes: standard error, as lines of JSON for machines or as text on a terminal."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

from pointsman.settings import Settings


def configure_logs(settings: Settings) -> None:
    """JSON lines, or on a terminal text, unless the settings say which."""
    for_people = sys.stderr.isatty() and "format" not in settings.log.model_fields_set
    _logs().configure(settings.log.level, "console" if for_people else settings.log.format)
    # It lists its plugins at each start; that a migration begins and ends is said by ours.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def quiet_logs() -> None:
    """Only what is wrong: the command says itself what it does."""
    _logs().configure("warning", "console")


def _logs() -> Any:
    # structlog takes a fifth of a second, which a database that is starting meanwhile can use.
    return import_module("pointsman.kit.log")
