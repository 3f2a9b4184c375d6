"""Webhooks on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pointsman.kit.db import Record
from pointsman.web.wire import NOT_BLANK, Body, GivenMoment, Moment, Read
from pointsman.webhooks.rows import EVENT_TYPES, EventType, Status


def _once(types: list[EventType]) -> list[EventType]:
    return list(dict.fromkeys(types))


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048), Field(description="Where events are posted: http or https, public.")]
EventTypes = Annotated[list[EventType], AfterValidator(_once), Field(min_length=1, max_length=20, description="What it is told.")]


class WebhookCreate(Body):
    """A new endpoint; its secret is in the answer, and never again."""

    name: Name | None = None
    url: Url
    event_types: EventTypes = Field(default_factory=lambda: list(EVENT_TYPES))
    enabled: bool = True


class WebhookPatch(Body):
    """What changes."""

    # The defaults are never read: `model_fields_set` says what was sent.
    name: Name | None = Field(default_factory=str)
    url: Url = Field(default_factory=str)
    event_types: EventTypes = Field(default_factory=list[EventType])
    enabled: bool = Field(default_factory=bool)


class WebhookRead(Read):
    """An endpoint, without its secret."""

    id: str
    tenant_id: str | None
    name: str | None
    url: str
    event_types: list[EventType]
    enabled: bool
    disabled_reason: str | None = Field(description="Why nothing is delivered to it.")
    failures: int = Field(description="Attempts that failed since the last that did not.")
    previous_secret_until: Moment | None = Field(description="Until when the secret before the last rotation signs as well.")
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, row: Record) -> WebhookRead:
        """From a row."""
        return cls(**_values(row))


class WebhookIssued(WebhookRead):
    """An endpoint with its new secret, which is shown this once."""

    secret: str = Field(description="Verifies signatures, as Standard Webhooks has it: `whsec_` and base64.")

    @classmethod
    def showing(cls, row: Record, secret: str) -> WebhookIssued:
        """From a row and the secret."""
        return cls(**_values(row), secret=secret)


class DeliveryRead(Read):
    """One event for one endpoint, and how far it is."""

    id: str
    event_id: str = Field(description="The header `webhook-id`: the same in each attempt, and for each endpoint.")
    event_type: EventType | Literal["webhook.test"]
    payload: str = Field(description="The body that is posted.")
    status: Status
    attempts: int
    next_at: Moment | None = Field(description="When it is tried next.")
    last_status: int | None = Field(description="HTTP status of the last attempt that was answered.")
    last_error: str | None
    created_at: Moment
    completed_at: Moment | None

    @classmethod
    def of(cls, row: Record) -> DeliveryRead:
        """From a row."""
        return cls(**{name: row[name] for name in cls.model_fields})


class TestRead(Read):
    """What came of a test event."""

    __test__ = False  # nor is it one of pytest's

    delivery_id: str
    event_id: str
    delivered: bool
    status: int | None = Field(description="HTTP status of the answer, where there was one.")
    answer: str = Field(description="The beginning of the answer's body.")
    error: str | None


class Replay(Body):
    """What is to be sent again: one delivery, or those since a moment."""

    delivery_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    since: GivenMoment | None = Field(default=None, description="Those that were written from then on and not delivered.")
    include_delivered: bool = Field(default=False, description="With `since`: also those that were delivered.")

    @model_validator(mode="after")
    def _says_which(self) -> Replay:
        if (self.delivery_id is None) == (self.since is None):
            raise ValueError("Say either delivery_id or since.")
        return self


class Replayed(Read):
    """How many deliveries are sent again."""

    replayed: int


def _values(row: Record) -> dict[str, Any]:
    names = ("id", "name", "url", "event_types", "enabled", "disabled_reason", "failures", "created_at", "updated_at")
    values: dict[str, Any] = {name: row[name] for name in names}
    return values | {"tenant_id": row["tenant_id"] or None, "previous_secret_until": row["previous_until"]}
