"""Agents on the wire."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import Field, JsonValue, model_validator

from pointsman.agents.config import AgentConfig, refuse_later_config
from pointsman.agents.rows import BoundAgent
from pointsman.kit.ids import ChosenId
from pointsman.prompts.schemas import Description, Template
from pointsman.web.wire import Body, Moment, Name, Read, Tags, Version


class AgentCreate(Body):
    """A new agent: with `prompt_service_id` it uses a prompt that exists, with `template` it gets a prompt of its own with its id."""

    id: ChosenId | None = Field(default=None, description="Chosen by the caller, else generated.")
    name: Name
    description: Description | None = None
    version: Literal["2.0"] = "2.0"
    prompt_service_id: ChosenId | None = None
    template: Template | None = None
    prompt_version: Version | None = Field(default=None, description="Pins the agent to this version of the prompt.")
    prompt_label: ChosenId | None = Field(default=None, description="Pins the agent to the version that this label points at.")
    tags: Tags = Field(default_factory=list[str])
    config: AgentConfig

    @model_validator(mode="before")
    @classmethod
    def _config_has_something_behind_it(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            refuse_later_config(cast("dict[str, Any]", raw).get("config"))
        return cast("Any", raw)

    @model_validator(mode="after")
    def _one_prompt(self) -> AgentCreate:
        if (self.prompt_service_id is None) == (self.template is None):
            raise ValueError("Give either prompt_service_id, to use a prompt that exists, or template, to make one.")
        if self.template is not None and (self.prompt_version is not None or self.prompt_label is not None):
            raise ValueError("A pin needs prompt_service_id: the prompt made from a template has no other versions and no labels.")
        _refuse_two_pins(self.prompt_version, self.prompt_label)
        return self


class AgentPatch(Body):
    """Changes to an agent, a JSON merge patch that reaches into `config`. A pin replaces the other kind of pin."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    description: Description | None = Field(default_factory=str)
    prompt_service_id: ChosenId = Field(default_factory=str)
    template: Template = Field(default_factory=str, description="The next version of the prompt that was made with the agent.")
    prompt_version: Version | None = Field(default_factory=int)
    prompt_label: ChosenId | None = Field(default_factory=str)
    tags: Tags = Field(default_factory=list[str])
    config: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])

    @model_validator(mode="after")
    def _one_prompt(self) -> AgentPatch:
        if {"template", "prompt_service_id"} <= self.model_fields_set:
            raise ValueError("Give prompt_service_id or template, not both.")
        if {"prompt_version", "prompt_label"} <= self.model_fields_set:
            _refuse_two_pins(self.prompt_version, self.prompt_label)
        return self


class AgentRead(Read):
    """An agent."""

    id: str
    name: str
    description: str | None
    version: str
    prompt_service_id: str | None
    prompt_version: int | None
    prompt_label: str | None
    tags: list[str]
    config: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, bound: BoundAgent) -> AgentRead:
        """Shape a row and its pin."""
        agent, prompt = bound
        columns = {name: getattr(agent, name) for name in cls.model_fields if name not in {"prompt_version", "prompt_label"}}
        return cls(
            **columns,
            prompt_version=prompt.pinned_version if prompt else None,
            prompt_label=prompt.pinned_label if prompt else None,
        )


def _refuse_two_pins(version: int | None, label: str | None) -> None:
    if version is not None and label is not None:
        raise ValueError("Give prompt_version or prompt_label, not both.")
