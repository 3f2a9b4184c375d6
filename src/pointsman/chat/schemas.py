"""Chat on the wire: read by msgspec for speed, explained by its pydantic twin when it is wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from pointsman.kit.ids import CHOSEN_ID, ChosenId
from pointsman.llm.options import ModelSettings
from pointsman.runs.events import Verbosity
from pointsman.web.wire import Body

MOST_ATTACHMENTS = 16

_Id = Annotated[str, msgspec.Meta(pattern=CHOSEN_ID)]
_Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
_Settings = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/ModelSettings"})]
_MediaType = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+/[a-z0-9.+-]{1,100}$")]


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file for the model: base64 `data`, or a public `url` that the gateway fetches."""

    media_type: _MediaType
    data: str | None = None
    url: _Url | None = None


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One turn; whatever is given overrides the agent's config for this turn only."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000_000)]
    user_id: _Id | None = None
    session_id: _Id | None = None
    stream: bool = False
    stream_verbosity: Verbosity = "events"
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    model_settings: _Settings | None = None
    variables: dict[str, str | int | float | bool] | None = None
    attachments: Annotated[tuple[Attachment, ...], msgspec.Meta(max_length=MOST_ATTACHMENTS)] = ()
    metadata: dict[str, Any] | None = None


class TeamRunRequest(ChatRequest, frozen=True):
    """One turn of a team: its leader hears the message, the members what the leader gives them.

    With `background` the answer is 202 at once, which is what a supervising team does unless it is told to `wait`. `model` and
    `model_settings` are the leader's alone, `variables` are every prompt's.
    """

    background: bool = False
    wait: bool = False


class AttachmentBody(Body):
    """The twin of `Attachment`."""

    media_type: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]{1,100}$")]
    data: str | None = None
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None


class ChatBody(Body):
    """The twin of `ChatRequest`."""

    message: Annotated[str, StringConstraints(min_length=1, max_length=1_000_000)]
    user_id: ChosenId | None = None
    session_id: ChosenId | None = None
    stream: bool = False
    stream_verbosity: Verbosity = "events"
    model: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    model_settings: ModelSettings | None = None
    variables: dict[str, str | int | float | bool] | None = None
    attachments: tuple[AttachmentBody, ...] = Field(default=(), max_length=MOST_ATTACHMENTS)
    metadata: dict[str, Any] | None = None


class TeamRunBody(ChatBody):
    """The twin of `TeamRunRequest`."""

    background: bool = False
    wait: bool = False


class UsageRead(msgspec.Struct, frozen=True):
    """Tokens and cost in US dollars of all model calls of the run; cost is null where a price is unknown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    is_estimated: bool
    cost: float | None


class TeamUsage(UsageRead, frozen=True):
    """The same for a team's run, with the part of each agent; the leader's is among them."""

    members: dict[str, UsageRead]


class ChatAnswer(msgspec.Struct, frozen=True):
    """How the turn ended; `output` is the parsed answer where the agent has an `output_schema`."""

    run_id: str
    session_id: str
    agent_id: str
    model: str
    status: Literal["completed", "paused", "failed", "cancelled"]
    content: str
    output: Any
    usage: UsageRead
    approvals: tuple[Any, ...] = ()


class TeamAnswer(ChatAnswer, frozen=True, kw_only=True):
    """How a team's turn ended; `agent_id` is its leader."""

    team_id: str
    usage: TeamUsage


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run that has begun, to be followed at `events`; `supervisor_run_id` where the team is a supervising one."""

    run_id: str
    status: Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
    events: str
    supervisor_run_id: str | None = None
