"""When a cron expression comes next, in its time zone; days on which the clock is changed are as cron has always had them."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def check_cron(expression: str) -> str:
    """The expression as it is; a ValueError says what is wrong with it."""
    try:
        found = next(CronSim(expression, dt.datetime.now(dt.UTC)), None)
    except CronSimError as error:
        raise ValueError(f"This is no cron expression: {error}. Five fields, such as `0 9 * * 1-5`.") from None
    if found is None:
        raise ValueError("This time never comes.")
    return expression


def next_time(expression: str, timezone: str, after: dt.datetime) -> dt.datetime | None:
    """The first time after a moment, in UTC; None where there is none any more."""
    found = next(CronSim(expression, after.astimezone(ZoneInfo(timezone))), None)
    return None if found is None else found.astimezone(dt.UTC)


def latest_time(expression: str, timezone: str, *, first: dt.datetime, now: dt.datetime) -> dt.datetime:
    """The last time that is not after `now`, `first` being one of them."""
    found = next(CronSim(expression, (now + dt.timedelta(minutes=1)).astimezone(ZoneInfo(timezone)), reverse=True), None)
    while found is not None and found.astimezone(dt.UTC) > now:
        found = next(CronSim(expression, found, reverse=True), None)
    return first if found is None else max(first, found.astimezone(dt.UTC))
