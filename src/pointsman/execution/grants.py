"""What an operator grants or forbids on a target or an engine, and how configs name secrets without holding them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, cast

import pydantic
from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, StringConstraints, field_validator

from pointsman.jobs.worker_config import Pattern
from pointsman.kit.ids import ChosenId
from pointsman.kit.scrubbing import is_secret_name, scrub_text
from pointsman.web.wire import Body

EVERYBODY = "*"
RESERVED = "POINTSMAN_"

Danger = Literal["dependency_install", "git_push", "merge", "delete_files", "migrations", "apply_or_deploy", "production_change"]

_BY_REFERENCE = 'A secret is given by reference: set POINTSMAN_SECRETS__<NAME> and write {"secret": "<name>"} here.'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class SecretRef(Body):
    """Names a secret of the operator's settings."""

    secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,127}$")]


def _reference(value: Any) -> Any:
    if isinstance(value, dict | SecretRef):
        return cast("Any", value)
    raise ValueError(_BY_REFERENCE)


def _plain(text: str) -> str:
    if scrub_text(text) != text:
        raise ValueError(f"This looks like a secret. {_BY_REFERENCE}")
    return text


def _value(value: Any) -> str | SecretRef:
    if isinstance(value, str):
        if len(value) > _LONGEST_VALUE or "\0" in value:
            raise ValueError(f"A value has at most {_LONGEST_VALUE} characters, and no NUL.")
        return _plain(value)
    try:
        return SecretRef.model_validate(value)
    except pydantic.ValidationError:
        raise ValueError('A value is a text, or {"secret": "<name>"}.') from None


_LONGEST_VALUE = 8192

Secret = Annotated[SecretRef, BeforeValidator(_reference)]
Plain = Annotated[str, StringConstraints(min_length=1, max_length=2048), pydantic.AfterValidator(_plain)]
Value = Annotated[
    str | SecretRef, PlainValidator(_value), PlainSerializer(lambda value: value if isinstance(value, str) else {"secret": value.secret})
]


def _values(given: dict[str, str | SecretRef]) -> dict[str, str | SecretRef]:
    for name, value in given.items():
        if isinstance(value, str) and value and is_secret_name(name):
            raise ValueError(f"{name} sounds like a secret. {_BY_REFERENCE}")
    return given


def _variables(given: dict[str, str | SecretRef]) -> dict[str, str | SecretRef]:
    for name in given:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no name of an environment variable.")
        if name.upper().startswith(RESERVED):
            raise ValueError(f"No {RESERVED}* variable goes into a sandbox.")
    return _values(given)


Values = Annotated[dict[str, Value], Field(max_length=64), pydantic.AfterValidator(_values)]
Environment = Annotated[dict[str, Value], Field(max_length=64), pydantic.AfterValidator(_variables)]


class OperatorPolicy(Body):
    """What jobs may do here at most; an agent's `worker_config` and a job's own wishes can only tighten it."""

    dangerous: list[Danger] | None = Field(
        default=None, description="The only dangerous permissions that jobs may have here; null: those that they ask for."
    )
    allowed_tools: list[Pattern] | None = Field(default=None, max_length=256)
    allowed_commands: list[Pattern] | None = Field(default=None, max_length=256)
    deny: list[Pattern] = Field(default_factory=list[str], max_length=256, description="Added to every worker's `permissions.deny`.")
    ask: list[Pattern] = Field(default_factory=list[str], max_length=256, description="Added to every worker's `permissions.ask`.")
    max_runtime_minutes: float | None = Field(default=None, gt=0, le=24 * 60)


class MountGrant(Body):
    """A folder of the target's that jobs see, for reading unless `writable`."""

    source: Plain
    path: Annotated[str, StringConstraints(min_length=2, max_length=1024, pattern=r"^/")]
    writable: bool = False

    @field_validator("source", "path")
    @classmethod
    def _is_a_straight_path(cls, path: str) -> str:
        if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise ValueError("A path is absolute and has no `..` in it.")
        return path


class Grants(Body):
    """What every target's `connection_config` may say beside how it is reached."""

    tenants: list[ChosenId | Literal["*"]] = Field(
        default_factory=list[str], max_length=1000, description="Tenants that may use it, `*` for all; the operator always may."
    )
    network: bool = Field(default=False, strict=True, description="Whether jobs that ask for network access get it.")
    mounts: list[MountGrant] = Field(default_factory=list[MountGrant], max_length=32)
    env: Environment = Field(default_factory=dict[str, str | SecretRef], description="The environment of what runs there.")
    policy: OperatorPolicy = Field(default_factory=OperatorPolicy)
