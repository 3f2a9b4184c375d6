"""How commands end where a target tells signals as shells do."""

from __future__ import annotations

import signal


def signal_of(code: int | None) -> str | None:
    """The signal that an exit code of 128 and more stands for; a command that itself exits with such a number cannot be told apart."""
    try:
        return signal.Signals(code - 128).name if code is not None and code > 128 else None
    except ValueError:
        return None
