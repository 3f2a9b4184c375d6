"""Tokens on the wire. No answer but that of a reveal holds a secret."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, Field, StringConstraints

from pointsman.credentials.errors import TokenDataInvalid
from pointsman.kit.db import Record
from pointsman.kit.problems import FieldError
from pointsman.web.wire import Body, GivenMoment, Moment, Read

TokenType = Literal["oauth2", "api_key", "jwt"]
SECRET_OF: dict[str, str] = {"oauth2": "access_token", "api_key": "api_key", "jwt": "token"}
_REFRESHED = {"oauth2"}
_MOST_BYTES = 65_536
INTEGRATION_KEY = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$")]
Scope = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,255}$")]


def _bounded(data: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(data)) > _MOST_BYTES:
        raise ValueError(f"A token's data is at most {_MOST_BYTES} bytes of JSON.")
    return data


TokenData = Annotated[dict[str, Any], AfterValidator(_bounded)]


class ConnectCreate(Body):
    """What a user is to connect."""

    integration_key: Annotated[str, StringConstraints(pattern=INTEGRATION_KEY)] | None = Field(
        default=None, description="What the token is to be called; unset: as the provider."
    )
    scopes: Annotated[list[Scope], Field(max_length=100)] | None = Field(
        default=None, description="What the user is asked for; unset: what the provider's settings say."
    )


class ConnectRead(Read):
    """A user's way to connecting an account, and what came of it."""

    id: str
    user_id: str
    integration_key: str
    provider: str
    scopes: list[str]
    status: Literal["pending", "opened", "exchanging", "connected", "failed", "expired"] = Field(
        description="`opened`: a browser is on its way to the provider; `exchanging`: it came back."
    )
    failure: str | None = Field(description="Why it failed.")
    created_at: Moment
    expires_at: Moment

    @classmethod
    def of(cls, row: Record) -> ConnectRead:
        """From a row."""
        return cls(**{name: row[name] for name in ConnectRead.model_fields})


class ConnectIssued(ConnectRead):
    """A way that was just opened, with the address at which the user begins; it is shown this once."""

    url: str


class TokenPut(Body):
    """A user's token for another system."""

    provider: Name = Field(description="Whose token it is, such as github; one of the OAuth providers where it is to be refreshed.")
    token_type: TokenType
    token_data: TokenData = Field(
        description="`access_token` (and `refresh_token`), `api_key` or `token`, by type; further fields are kept."
    )
    scopes: Annotated[list[Scope], Field(max_length=200)] = Field(default_factory=list[str])
    expires_at: GivenMoment | None = Field(default=None, description="When it is good no more; unset: never.")

    @property
    def is_refreshable(self) -> bool:
        """Whether there is something to refresh it with."""
        return self.token_type in _REFRESHED and "refresh_token" in self.token_data

    def check(self) -> None:
        """Refuse what could not be sent later. Raises TokenDataInvalid."""
        name = SECRET_OF[self.token_type]
        if "refresh_token" in self.token_data:
            _check_text(self.token_data["refresh_token"], "refresh_token")
        if name not in self.token_data:
            message = f"A token of type {self.token_type} needs {name!r}."
            raise TokenDataInvalid(message, errors=(FieldError(f"/token_data/{name}", message),))
        _check_text(self.token_data[name], name)


def _check_text(value: object, name: str) -> None:
    # It becomes part of a header: a line break in it would begin another one.
    if not isinstance(value, str) or not value or not value.isascii() or any(not "!" <= character <= "~" for character in value):
        message = f"{name!r} is a text of visible ASCII characters."
        raise TokenDataInvalid(message, errors=(FieldError(f"/token_data/{name}", message),))


class TokenRead(Read):
    """A token, without its secret."""

    user_id: str
    integration_key: str
    provider: str
    token_type: TokenType
    scopes: list[str]
    expires_at: Moment | None
    created_at: Moment
    updated_at: Moment
    is_active: bool
    status: Literal["active", "reauth_required"] = Field(description="`reauth_required`: the provider no longer knows the grant.")

    @classmethod
    def of(cls, row: Record, *, reauth: bool = False) -> TokenRead:
        """From a row; the tenant in the stored user is nobody's business."""
        values: dict[str, Any] = {name: row[name] for name in cls.model_fields if name != "status"}
        values |= {"user_id": row["user_id"].rpartition("/")[2], "status": "reauth_required" if reauth else "active"}
        return cls(**values)


class TokenUseRead(Read):
    """That a token was used."""

    at: Moment
    provider: str
    run_id: str
    tool: str

    @classmethod
    def of(cls, row: Record) -> TokenUseRead:
        """From a row."""
        return cls(**{name: row[name] for name in cls.model_fields})


class TokenRevealed(TokenRead):
    """A token with its secret."""

    token_data: dict[str, Any]
