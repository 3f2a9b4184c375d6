"""Breakers on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pointsman.kit.db import Record
from pointsman.web.wire import Moment, Read

State = Literal["closed", "open", "half_open"]


class BreakerRead(Read):
    """What has failed: an engine, a target or a model."""

    id: str = Field(description="`kind:subject`, such as `target:local` or `model:openai:gpt-5`.")
    kind: Literal["engine", "target", "model"]
    subject: str
    state: State = Field(description="`open`: left alone until `retry_at`; `half_open`: one try is under way.")
    failures: int = Field(description="In a row.")
    reason: str | None = Field(description="Of the last failure; null for keys of tenants.")
    opened_at: Moment | None
    retry_at: Moment | None
    updated_at: Moment

    @classmethod
    def of(cls, row: Record, *, whole: bool) -> BreakerRead:
        """From a row; without the reason unless `whole`."""
        read = cls(**{name: row[name] for name in cls.model_fields})
        return read if whole else read.model_copy(update={"reason": None})
