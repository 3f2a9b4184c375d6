"""A serving process from its settings to its end: the database first, everything else beside it, and all of it stopped again."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.cli.logs import configure_logs
from pointsman.cli.output import say, style
from pointsman.cli.storage import Storage
from pointsman.settings import Settings

_LISTENING = "listening on"


class Stopped(BaseException):
    """SIGTERM or Ctrl-C before the server could take them."""


def run_gateway(settings: Settings, *, alone: bool, workers: int = 0) -> None:
    """Serve until a signal, with so many workers. `alone` is `up`: the database is made, migrated and given an admin key as needed."""
    with stoppable(), Storage(settings) as storage:
        # While the database starts in its thread, this one imports what takes the longest: some thousand modules' worth of objects
        # that live as long as the process, so that looking for garbage among them only costs time, now and ever after.
        gc.disable()
        serving = import_module("pointsman.cli.serving")
        gc.freeze()
        gc.enable()
        configure_logs(settings)
        dsn = storage.dsn()
        gateway: Coroutine[Any, Any, None] = serving.serve_until_stopped(
            settings, dsn, alone=alone, workers=workers, announce=_announcer(settings)
        )
        serving.run(gateway)


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
def stoppable() -> Generator[None]:
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
