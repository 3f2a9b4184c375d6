"""Rows of webhooks, and what came of an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

EventType = Literal["approval.requested", "approval.decided", "job.finished", "run.completed", "run.failed", "run.cancelled"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TEST = "webhook.test"
Status = Literal["pending", "delivered", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery that this process holds for one attempt, the `attempts`-th; `whom` is its endpoint's or channel's id.

    `url` and the encrypted secrets are the endpoint's, empty for a channel.
    """

    id: str
    whom: str
    tenant_id: str
    event_id: str
    event_type: str
    subject_id: str
    payload: str
    attempts: int
    url: str = ""
    encrypted_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt. `status` is HTTP's where somebody answered, `answer` the beginning of what was said.

    `gone`: this receiver wants nothing any more. `pointless`: nobody needs to hear of it any more. `retry_after` is what was asked for.
    """

    delivered: bool
    status: int | None = None
    error: str | None = None
    answer: str = ""
    gone: bool = False
    pointless: bool = False
    retry_after: timedelta = timedelta()
