"""Sessions, messages and memories on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pointsman.kit.ids import ChosenId
from pointsman.sessions.memory import LONGEST
from pointsman.web.wire import NOT_BLANK, Body, Moment, Read

Content = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, strip_whitespace=True), Field(json_schema_extra=NOT_BLANK)]


class SessionRead(Read):
    """A conversation; `agent_id` is the agent that answered its first turn."""

    id: str
    tenant_id: str | None
    user_id: str | None
    agent_id: str | None
    created_at: Moment
    updated_at: Moment


class MessageRead(Read):
    """One message; `parts` are text, files (without their bytes), tool calls, tool results and thinking."""

    run_id: str
    position: int
    role: Literal["user", "assistant", "tool"]
    agent_id: str
    run_status: str
    text: str
    parts: list[dict[str, Any]]
    created_at: Moment


class MemoryRead(Read):
    """A fact that an agent keeps about a user."""

    id: str
    tenant_id: str | None
    user_id: str
    agent_id: str
    content: str
    run_id: str | None
    created_at: Moment
    updated_at: Moment


class MemoryCreate(Body):
    """A fact to be remembered."""

    user_id: ChosenId
    agent_id: ChosenId
    content: Content


class MemoryUpdate(Body):
    """A merge patch."""

    # The default is never read: `model_fields_set` says whether it was sent.
    content: Content = Field(default_factory=str)
