"""Keys on the wire; a key itself is shown once, when it is made."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from pointsman.access.rows import StoredKey
from pointsman.access.scopes import SCOPES, known_scope
from pointsman.kit.clock import utcnow
from pointsman.kit.ids import ChosenId
from pointsman.kit.principal import Principal
from pointsman.web.wire import NOT_BLANK, Body, GivenMoment, Moment, Read

_LONGEST_OVERLAP = timedelta(days=30)


def _to_come(moment: dt.datetime) -> dt.datetime:
    try:
        moment = moment.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("The time is beyond the calendar.") from None
    if moment <= utcnow():
        raise ValueError("The time must lie in the future.")
    return moment


def _once_each(scopes: list[str]) -> list[str]:
    return list(dict.fromkeys(scopes))


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]
Scopes = Annotated[
    list[Annotated[str, AfterValidator(known_scope), Field(json_schema_extra={"enum": list(SCOPES)})]],
    Field(min_length=1, max_length=100, description="What the key may do, within the scopes of the key that makes it."),
    AfterValidator(_once_each),
]
RateLimit = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647, description="Requests per hour; 0 is unlimited.")]
ToCome = Annotated[GivenMoment, AfterValidator(_to_come)]


class KeyCreate(Body):
    """A key to make."""

    name: Name
    scopes: Scopes
    owner_id: ChosenId | None = Field(
        default=None, description="The tenant; left out, that of the calling key. Null makes an operator key."
    )
    rate_limit: RateLimit = 0
    expires_at: ToCome | None = None


class KeyPatch(Body):
    """What to change; a field that is left out stays, null clears `expires_at`."""

    name: Name = ""
    scopes: Scopes = Field(default_factory=list[str])
    rate_limit: RateLimit = 0
    expires_at: ToCome | None = None


class KeyRotate(Body):
    """How long the old key works beside its successor."""

    overlap_seconds: int = Field(default=3600, strict=True, ge=0, le=int(_LONGEST_OVERLAP.total_seconds()))


class KeyRead(Read):
    """A key without its secret; `hint` is its beginning."""

    id: int
    name: str
    hint: str | None
    owner_id: str | None
    scopes: list[str]
    rate_limit: int
    expires_at: Moment | None
    last_used_at: Moment | None
    created_at: Moment
    is_active: bool

    @classmethod
    def of(cls, stored: StoredKey) -> KeyRead:
        """Shape a row."""
        return cls.model_validate(_fields(stored))


class KeyIssued(KeyRead):
    """A new key, with the secret that is never shown again."""

    api_key: str

    @classmethod
    def showing(cls, stored: StoredKey, api_key: str) -> KeyIssued:
        """Shape a row and its secret."""
        return cls.model_validate(_fields(stored) | {"api_key": api_key})


class KeyRotated(KeyIssued):
    """The successor, and when the old key ceases to work."""

    rotated_from: int
    old_key_expires_at: Moment

    @classmethod
    def following(cls, stored: StoredKey, api_key: str, old_key_expires_at: dt.datetime, rotated_from: int) -> KeyRotated:
        """Shape the successor and what becomes of the old key."""
        new = _fields(stored) | {"api_key": api_key}
        return cls.model_validate(new | {"rotated_from": rotated_from, "old_key_expires_at": old_key_expires_at})


class WhoAmI(KeyRead):
    """The calling key and the tenant it works in; null is the operator's own."""

    tenant: str | None
    is_operator: bool

    @classmethod
    def calling(cls, stored: StoredKey, principal: Principal) -> WhoAmI:
        """Shape the caller's row."""
        return cls.model_validate(_fields(stored) | {"tenant": principal.tenant, "is_operator": principal.is_operator})


def _fields(stored: StoredKey) -> dict[str, object]:
    names = KeyRead.model_fields.keys() - {"hint"}
    return {"hint": stored.lineage.hint if stored.lineage else None, **{name: getattr(stored.key, name) for name in names}}
