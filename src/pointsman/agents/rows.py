"""Rows of agents: the agent, and how it is bound to its prompt."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record


class Agent(msgspec.Struct, frozen=True):
    """An agent as data."""

    id: str
    name: str
    description: str | None
    version: str
    prompt_service_id: str | None
    tags: list[str]
    config: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> Agent:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__}
        return cls(**{**columns, "tags": json_text.decode(row["tags"]), "config": json_text.decode(row["config"])})


class AgentPrompt(msgspec.Struct, frozen=True):
    """Which version of its prompt an agent is pinned to, and whether the prompt was made with the agent."""

    agent_id: str
    pinned_version: int | None
    pinned_label: str | None
    made_prompt: bool

    @classmethod
    def of(cls, row: Record) -> AgentPrompt:
        """From a row that has its columns, and perhaps others."""
        return cls(*(row[name] for name in cls.__struct_fields__))


class BoundAgent(NamedTuple):
    """An agent and how it is bound to its prompt; None for one that is bound without a pin."""

    agent: Agent
    prompt: AgentPrompt | None

    @classmethod
    def of(cls, row: Record) -> BoundAgent:
        """From a row of both tables."""
        return cls(Agent.of(row), None if row["agent_id"] is None else AgentPrompt.of(row))
