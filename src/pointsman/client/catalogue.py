"""Prompts, agents, teams and models: what the operator describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.client.shapes import Agent, ModelProvider, Prompt, PromptDiff, PromptLabel, PromptText, PromptVersion, Team, TeamMember
from pointsman.client.transport import Transport


class Prompts:
    """`/v2/prompts`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, tags: list[str] | None = None, q: str | None = None, include_inactive: bool = False, most: int | None = None
    ) -> Iterator[Prompt]:
        """By id."""
        return self._transport.pages("v2", "prompts", query={"tag": tags, "q": q, "include_inactive": include_inactive}, most=most)

    def create(self, body: Mapping[str, Any]) -> Prompt:
        return self._transport.call("POST", "v2", "prompts", body=body)

    def read(self, prompt_id: str) -> Prompt:
        return self._transport.call("GET", "v2", "prompts", prompt_id)

    def update(self, prompt_id: str, patch: Mapping[str, Any]) -> Prompt:
        return self._transport.call("PATCH", "v2", "prompts", prompt_id, body=patch)

    def delete(self, prompt_id: str) -> None:
        self._transport.call("DELETE", "v2", "prompts", prompt_id)

    def versions(self, prompt_id: str, *, most: int | None = None) -> Iterator[PromptVersion]:
        """Newest first."""
        return self._transport.pages("v2", "prompts", prompt_id, "versions", most=most)

    def read_version(self, prompt_id: str, version: int) -> PromptVersion:
        return self._transport.call("GET", "v2", "prompts", prompt_id, "versions", str(version))

    def diff(self, prompt_id: str, before: int | None = None, after: int | None = None) -> PromptDiff:
        """The newest version against the one before it, unless told otherwise."""
        return self._transport.call("GET", "v2", "prompts", prompt_id, "diff", query={"from": before, "to": after})

    def rollback(self, prompt_id: str, version: int) -> Prompt:
        return self._transport.call("POST", "v2", "prompts", prompt_id, "rollback", body={"version": version})

    def labels(self, prompt_id: str) -> Iterator[PromptLabel]:
        return self._transport.pages("v2", "prompts", prompt_id, "labels")

    def put_label(self, prompt_id: str, label: str, version: int) -> PromptLabel:
        return self._transport.call("PUT", "v2", "prompts", prompt_id, "labels", label, body={"version": version})

    def delete_label(self, prompt_id: str, label: str) -> None:
        self._transport.call("DELETE", "v2", "prompts", prompt_id, "labels", label)

    def render(self, prompt_id: str, body: Mapping[str, Any]) -> PromptText:
        return self._transport.call("POST", "v2", "prompts", prompt_id, "render", body=body)


class Agents:
    """`/v2/agents`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, tags: list[str] | None = None, q: str | None = None, include_inactive: bool = False, most: int | None = None
    ) -> Iterator[Agent]:
        """By id."""
        return self._transport.pages("v2", "agents", query={"tag": tags, "q": q, "include_inactive": include_inactive}, most=most)

    def create(self, body: Mapping[str, Any]) -> Agent:
        return self._transport.call("POST", "v2", "agents", body=body)

    def read(self, agent_id: str) -> Agent:
        return self._transport.call("GET", "v2", "agents", agent_id)

    def update(self, agent_id: str, patch: Mapping[str, Any]) -> Agent:
        return self._transport.call("PATCH", "v2", "agents", agent_id, body=patch)

    def delete(self, agent_id: str) -> None:
        self._transport.call("DELETE", "v2", "agents", agent_id)


class Teams:
    """`/v2/teams`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        mode: str | None = None,
        agent_id: str | None = None,
        q: str | None = None,
        include_inactive: bool = False,
        most: int | None = None,
    ) -> Iterator[Team]:
        """By id."""
        query = {"mode": mode, "agent_id": agent_id, "q": q, "include_inactive": include_inactive}
        return self._transport.pages("v2", "teams", query=query, most=most)

    def create(self, body: Mapping[str, Any]) -> Team:
        return self._transport.call("POST", "v2", "teams", body=body)

    def read(self, team_id: str) -> Team:
        return self._transport.call("GET", "v2", "teams", team_id)

    def update(self, team_id: str, patch: Mapping[str, Any]) -> Team:
        return self._transport.call("PATCH", "v2", "teams", team_id, body=patch)

    def delete(self, team_id: str) -> None:
        self._transport.call("DELETE", "v2", "teams", team_id)

    def members(self, team_id: str) -> Iterator[TeamMember]:
        """In their order."""
        return self._transport.pages("v2", "teams", team_id, "members")

    def put_member(self, team_id: str, agent_id: str, body: Mapping[str, Any]) -> TeamMember:
        """Add an agent, or change its role and order."""
        return self._transport.call("PUT", "v2", "teams", team_id, "members", agent_id, body=body)

    def remove_member(self, team_id: str, agent_id: str) -> None:
        self._transport.call("DELETE", "v2", "teams", team_id, "members", agent_id)


class ModelCatalogue:
    """`/v2/models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[ModelProvider]:
        """The providers by name."""
        return self._transport.pages("v2", "models")
