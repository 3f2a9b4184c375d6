"""MCP servers on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pointsman.kit.ids import ChosenId
from pointsman.tools.mcp.rows import Pin, PinnedServer, PinnedTool, difference
from pointsman.web.wire import Body, Moment, Name, Read

Url = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Headers = dict[str, str]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_HEADERS = (
    "Sent with each request; values name credentials: `${token:INTEGRATION_KEY}` of the run's user, `${secret:NAME}` of the operator."
)


class Timeouts(Body):
    """How long a server may take, in seconds."""

    connect_seconds: float = Field(default=15.0, ge=0.1, le=60, description="To begin a session.")
    call_seconds: float = Field(default=30.0, ge=0.1, le=60, description="To answer a call.")


class McpServerCreate(Body):
    """A server over streamable HTTP. One with a command is described by the operator's settings alone."""

    id: ChosenId
    name: Name | None = Field(default=None, description="The id if absent.")
    type: Literal["http"] = "http"
    url: Url
    headers: Headers = Field(default_factory=dict[str, str], description=_HEADERS)
    description: Description | None = None
    timeouts: Timeouts = Field(default_factory=Timeouts)


class McpServerPatch(Body):
    """What changes; what is approved stays approved, and is held against what the server offers as ever."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    url: Url = Field(default_factory=str)
    headers: Headers = Field(default_factory=dict[str, str], description=_HEADERS)
    description: Description | None = Field(default_factory=str)
    timeouts: Timeouts = Field(default_factory=Timeouts)


class McpInspect(Body):
    """For whom the server is asked."""

    user_id: ChosenId | None = Field(default=None, description="Whose credentials headers with `${token:…}` are filled with.")


class McpApprove(Body):
    """What is approved: the hash of the proposal that was read."""

    sha256: Sha256


class McpTool(Read):
    """A tool as a model is told of it. `read_only` and `idempotent` are what the server says: a lost call of such a tool is repeated."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool
    idempotent: bool

    @classmethod
    def of(cls, tool: PinnedTool) -> McpTool:
        """From what is pinned."""
        return cls(**{name: getattr(tool, name) for name in cls.model_fields})


class McpDiff(Read):
    """Names of tools in which the proposal differs from what is approved."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class McpProposal(Read):
    """What the server was last seen to offer, where that is not what is approved."""

    sha256: str
    seen_at: Moment
    tools: list[McpTool]
    diff: McpDiff


class McpServerRead(Read):
    """A server. `state`: never inspected, its first proposal to be looked at, approved, or changed since."""

    id: str
    type: Literal["http", "stdio"]
    name: str
    description: str | None
    url: str | None
    headers: dict[str, str]
    timeouts: Timeouts
    state: Literal["new", "proposed", "approved", "changed"]
    created_at: Moment | None
    updated_at: Moment | None
    is_active: bool

    @classmethod
    def of(cls, pinned: PinnedServer) -> McpServerRead:
        """Shape a server."""
        return cls(**_fields(pinned))


class McpServerDetail(McpServerRead):
    """A server with its tools: what is approved, and what waits to be."""

    sha256: str | None
    approved_by: str | None
    approved_at: Moment | None
    tools: list[McpTool]
    proposal: McpProposal | None

    @classmethod
    def of(cls, pinned: PinnedServer) -> McpServerDetail:
        """Shape a server."""
        pin = pinned.pin
        tools = [McpTool.of(tool) for tool in pin.tools or ()]
        approved: dict[str, Any] = {"sha256": pin.sha256, "approved_by": pin.approved_by, "approved_at": pin.approved_at}
        return cls(**_fields(pinned), **approved, tools=tools, proposal=_proposal(pin))


def _fields(pinned: PinnedServer) -> dict[str, Any]:
    server, pin = pinned
    columns = {name: getattr(server, name) for name in McpServerRead.model_fields if name not in {"timeouts", "state"}}
    # Not checked again: an operator's settings may be beyond what a request may ask for.
    timeouts = Timeouts.model_construct(connect_seconds=server.connect_seconds, call_seconds=server.call_seconds)
    return columns | {"timeouts": timeouts, "state": pin.state}


def _proposal(pin: Pin) -> McpProposal | None:
    if pin.proposal is None or pin.proposal_sha256 is None or pin.proposed_at is None:
        return None
    differs = difference(pin.tools or (), pin.proposal)
    return McpProposal(
        sha256=pin.proposal_sha256,
        seen_at=pin.proposed_at,
        tools=[McpTool.of(tool) for tool in pin.proposal],
        diff=McpDiff(added=differs.added, removed=differs.removed, changed=differs.changed),
    )
