"""A serving process from its settings to its end: the database first, everything else beside it, and all of it stopped again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.cli.output import say, style
from pointsman.cli.storage import Storage
from pointsman.settings import Settings

_LISTENING = "listening on"


class Stopped(BaseException):
    """SIGTERM or Ctrl-C before the server could take them."""


def run_gateway(settings: Settings, *, alone: bool) -> None:
    """Serve until a signal. `alone` is `up`: the database is made, migrated and given an admin key as needed."""
    with _stoppable(), Storage(settings) as storage:
        # While the database starts in its thread, this one imports what takes the longest.
        serving = import_module("pointsman.cli.serving")
        configure_logs(settings)
        dsn = storage.dsn()
        gateway: Coroutine[Any, Any, None] = serving.serve_until_stopped(settings, dsn, alone=alone, announce=_announcer(settings))
        serving.run(gateway)


def configure_logs(settings: Settings) -> None:
    """JSON lines, or on a terminal text, unless the settings say which."""
    for_people = sys.stderr.isatty() and "format" not in settings.log.model_fields_set
    logs: Any = import_module("pointsman.kit.log")  # structlog, while the database starts
    logs.configure(settings.log.level, "console" if for_people else settings.log.format)


def _announcer(settings: Settings) -> Callable[[str, str | None], None]:
    def announce(url: str, api_key: str | None) -> None:
        path = settings.data_dir / ADMIN_KEY_FILE
        say(f"{style('pointsman', 'bold')} is {_LISTENING} {style(url, 'green')}")
        if api_key is not None and sys.stderr.isatty():
            say(f"admin key, shown this once: {style(api_key, 'yellow')}")
        if path.exists():
            say(f"the admin key is in {path}")
            say(f"try: curl -H \"Authorization: Bearer $(cat '{path}')\" {url}/v2/whoami")
        else:
            say(f"there is no admin key in {path}: use one that you have, or replace it with `pointsman keys bootstrap --rotate`")
        say("Ctrl-C stops it")

    return announce


@contextmanager
def _stoppable() -> Generator[None]:
    """Until the server takes the signals, and after it gave them back, they unwind what was built instead of killing over it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except (Stopped, asyncio.CancelledError):
        say("stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
