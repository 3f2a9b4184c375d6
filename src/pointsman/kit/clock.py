"""Wall-clock time, always UTC with its zone; leases use the database's clock instead."""

from __future__ import annotations

import datetime as dt


def utcnow() -> dt.datetime:
    """Now, with zone UTC."""
    return dt.datetime.now(dt.UTC)


def rfc3339(moment: dt.datetime) -> str:
    """RFC 3339 in UTC with milliseconds and a Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
