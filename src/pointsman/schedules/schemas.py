"""Schedules on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints

from pointsman.chat.schemas import ChatBody
from pointsman.kit import json_text
from pointsman.kit.db import Record
from pointsman.kit.ids import ChosenId
from pointsman.schedules.times import check_cron
from pointsman.web.wire import NOT_BLANK, Body, Moment, Read

SubjectType = Literal["agent", "team"]
Missed = Literal["skip", "once"]
FireStatus = Literal["pending", "started", "skipped", "failed"]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("This is not an IANA time zone, such as Europe/Berlin or UTC.") from None
    return name


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]
Cron = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=9, max_length=255),
    AfterValidator(check_cron),
    Field(description="Minute, hour, day of month, month, day of week: `0 9 * * 1-5`."),
]
Timezone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone)]


def _unread(stream: bool) -> bool:
    if stream:
        raise ValueError("Nobody reads along: leave it out. `GET /v2/runs/{id}/events` has the events of each run.")
    return stream


class Ask(ChatBody):
    """What is asked each time: as in a chat, but nobody reads along."""

    stream: Annotated[bool, AfterValidator(_unread)] = False


class ScheduleCreate(Body):
    """A new schedule, in the name of the key that makes it."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name | None = None
    subject_type: SubjectType
    subject_id: ChosenId = Field(description="Id of the agent or team.")
    cron: Cron
    timezone: Timezone = Field(default="UTC", description="IANA time zone of the cron expression.")
    missed: Missed = Field(default="skip", description="Of times that came while no gateway ran: none, or the latest once.")
    request: Ask
    paused: bool = False


class SchedulePatch(Body):
    """What changes; the schedule is the changing key's from then on."""

    # The defaults are never read: `model_fields_set` says what was sent.
    name: Name | None = Field(default_factory=str)
    cron: Cron = Field(default_factory=str)
    timezone: Timezone = Field(default_factory=str)
    missed: Missed = Field(default_factory=lambda: "skip")
    request: Ask = Field(default_factory=lambda: Ask(message="-"))
    paused: bool = Field(default_factory=bool)


class ScheduleRead(Read):
    """A schedule."""

    id: str
    tenant_id: str | None
    name: str | None
    subject_type: SubjectType
    subject_id: str
    cron: str
    timezone: str
    missed: Missed
    request: dict[str, Any]
    key_id: int
    paused: bool
    next_at: Moment | None
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> ScheduleRead:
        """From a row."""
        values: dict[str, Any] = {name: row[name] for name in cls.model_fields}
        values |= {"request": json_text.decode(row["request"]), "tenant_id": row["tenant_id"] or None}
        return cls(**values)


class FireRead(Read):
    """A time that came: its run, or why there is none."""

    due_at: Moment
    status: FireStatus
    run_id: str | None
    problem: dict[str, Any] | None

    @classmethod
    def of(cls, row: Record) -> FireRead:
        """From a row."""
        problem = json_text.decode(row["problem"]) if row["problem"] else None
        return cls(
            due_at=row["due_at"], status=row["status"], run_id=row["run_id"] if row["status"] == "started" else None, problem=problem
        )
