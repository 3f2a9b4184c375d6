"""The client as a whole: one address, one key, a namespace for each noun, and the chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Self

from pointsman.client.approvals import Approvals
from pointsman.client.catalogue import Agents, ModelCatalogue, Prompts, Teams
from pointsman.client.conversations import Memories, Runs, Sessions
from pointsman.client.errors import GatewayUnreachable, ProblemResponse
from pointsman.client.execution import Engines, Targets
from pointsman.client.fleet import Breakers, Workers
from pointsman.client.jobs import Jobs
from pointsman.client.knowledge import Knowledge
from pointsman.client.leaving import Erasures, Leaving
from pointsman.client.openapi_tools import OpenApiTools
from pointsman.client.records import AuditLog, Budgets, Keys, UsageReports
from pointsman.client.schedules import Schedules
from pointsman.client.shapes import ChatAnswer
from pointsman.client.skills import Skills
from pointsman.client.streaming import PATIENCE, Event, Follower
from pointsman.client.tokens import Tokens
from pointsman.client.tools import McpServers
from pointsman.client.transport import Transport
from pointsman.client.webhooks import Webhooks

_TIMEOUT = timedelta(seconds=30)


class PointsmanClient:
    """Talks to the gateway at `base_url` with `api_key`. Refusals are raised as ProblemResponse, silence as GatewayUnreachable."""

    def __init__(self, base_url: str = "http://127.0.0.1:8080", api_key: str | None = None, *, timeout: timedelta = _TIMEOUT) -> None:
        """Connect with the first request; `timeout` is how long a plain request may take."""
        self._transport = Transport(base_url, api_key, timeout=timeout.total_seconds())
        self.prompts = Prompts(self._transport)
        self.skills = Skills(self._transport)
        self.agents = Agents(self._transport)
        self.teams = Teams(self._transport)
        self.models = ModelCatalogue(self._transport)
        self.engines = Engines(self._transport)
        self.targets = Targets(self._transport)
        self.keys = Keys(self._transport)
        self.runs = Runs(self._transport)
        self.jobs = Jobs(self._transport)
        self.approvals = Approvals(self._transport)
        self.sessions = Sessions(self._transport)
        self.memories = Memories(self._transport)
        self.usage = UsageReports(self._transport)
        self.budgets = Budgets(self._transport)
        self.audit = AuditLog(self._transport)
        self.users = Leaving(self._transport, "users", "data")
        self.tenants = Leaving(self._transport, "tenants")
        self.erasures = Erasures(self._transport)
        self.schedules = Schedules(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.tokens = Tokens(self._transport)
        self.mcp_servers = McpServers(self._transport)
        self.knowledge = Knowledge(self._transport)
        self.openapi_tools = OpenApiTools(self._transport)
        self.breakers = Breakers(self._transport)
        self.workers = Workers(self._transport)

    @property
    def base_url(self) -> str:
        """Where the gateway is."""
        return self._transport.base_url

    def chat(self, agent_id: str, body: Mapping[str, Any]) -> ChatAnswer:
        """Take one turn and wait for its answer, as long as it takes."""
        return self._transport.call("POST", "v2", "agents", agent_id, "chat", body={**body, "stream": False}, patient=True)

    def stream_chat(self, agent_id: str, body: Mapping[str, Any], *, patience: timedelta = PATIENCE) -> Iterator[Event]:
        """Take one turn and yield its events as they come, to the terminal one.

        When the connection breaks, also because the replica behind it died, the stream is taken up by id wherever `base_url` leads now,
        for `patience` since the last event; then StreamLost. After `message.reset` the text of that message begins anew: see Transcript.
        """
        return Follower(self._transport, patience=patience).begin("v2", "agents", agent_id, "chat", body=body)

    def stream_team(self, team_id: str, body: Mapping[str, Any], *, patience: timedelta = PATIENCE) -> Iterator[Event]:
        """Ask a team and yield its run's events in the same way, those of members and jobs among them."""
        return Follower(self._transport, patience=patience).begin("v2", "teams", team_id, "runs", body=body)

    def run_team(self, team_id: str, body: Mapping[str, Any], *, wait: bool = True) -> dict[str, Any]:
        """Ask a team and wait for its answer, or, without `wait`, for its having been accepted."""
        asked = {**body, "stream": False, "wait": wait, "background": not wait}
        return self._transport.call("POST", "v2", "teams", team_id, "runs", body=asked, patient=wait)

    def is_alive(self) -> bool:
        """Whether a gateway answers there."""
        return self._health("livez") == {"status": "alive"}

    def is_ready(self) -> bool:
        """Whether it should get requests."""
        return self._health("readyz") == {"status": "ready"}

    def _health(self, path: str) -> object:
        try:
            return self._transport.call("GET", path)
        except (ProblemResponse, GatewayUnreachable, ValueError):
            return None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
