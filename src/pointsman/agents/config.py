"""What an agent's `config` may say: validated, every field with an effect, read back as it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, cast

import pydantic
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pointsman.agents.output_schema import checked_schema
from pointsman.agents.ports import ModelChecks
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.ids import ChosenId
from pointsman.kit.problems import FieldError, NotSupportedYet, Problem
from pointsman.knowledge.library import MOST, USUAL
from pointsman.llm.options import ModelSettings
from pointsman.llm.script import Script
from pointsman.tools.specs import ToolRef, ToolRefs
from pointsman.web.validation import invalid_request
from pointsman.web.wire import Body

SCRIPTED = "scripted:"
ECHO = "scripted:echo"
_LATER_WORKER = {
    "mcp_servers": "MCP servers of jobs come with a later release; those that an agent uses in a chat are listed in `tools`.",
    "hooks": "Hooks come with a later release.",
}

Flag = Annotated[bool, Field(strict=True)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Steps = Annotated[int, Field(strict=True, ge=1, le=20)]


def _distinct(skills: list[str]) -> list[str]:
    if len(set(skills)) < len(skills):
        raise ValueError("A skill is listed twice.")
    return skills


class KnowledgeConfig(Body):
    """What an agent may search: the company's files of the caller's tenant, and those of projects in the collections."""

    collections: list[ChosenId] = Field(default_factory=list[str], max_length=100)
    top_k: int = Field(default=USUAL, strict=True, ge=1, le=MOST, description="Most passages that a search gives.")


class AgentConfig(Body):
    """How an agent works. Everything here takes effect; the defaults are filled in when it is read back."""

    model: ModelName = Field(description="`provider:model`.")
    model_fallbacks: list[ModelName] = Field(
        default_factory=list[str], max_length=5, description="Asked in this order when the model before fails."
    )
    model_settings: ModelSettings = Field(default_factory=ModelSettings)
    enable_memory: Flag = Field(default=True, description="Whether what a user told earlier is recalled.")
    enable_history: Flag = Field(default=True, description="Whether earlier turns of the session are sent along.")
    num_history_runs: int = Field(default=3, strict=True, ge=0, le=100, description="How many earlier turns, while `enable_history` is on.")
    enable_reasoning: Flag = Field(default=False, description="Whether the model thinks before it answers.")
    reasoning_min_steps: Steps = Field(default=1, description="Least steps of thought, while `enable_reasoning` is on.")
    reasoning_max_steps: Steps = Field(default=10, description="Most steps of thought, while `enable_reasoning` is on.")
    tools: ToolRefs = Field(default_factory=list[ToolRef])
    skills: Annotated[list[ChosenId], Field(max_length=50), AfterValidator(_distinct)] = Field(
        default_factory=list[str], description="Ids of skills: it sees their descriptions, and loads what a task needs."
    )
    knowledge: KnowledgeConfig | None = Field(default=None, description="Gives it the tool `knowledge_search`.")
    output_schema: Annotated[dict[str, Any], AfterValidator(checked_schema)] | None = Field(
        default=None, description="JSON Schema of an object that every answer must be."
    )
    script: Script | None = Field(default=None, description="What a `scripted:` model answers.")
    worker_config: WorkerConfig | None = Field(
        default=None,
        description="What it may do: its tools in a chat are held to `permissions` and `allowed_tools`, its jobs to all of it.",
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The model, then its fallbacks."""
        return (self.model, *self.model_fallbacks)

    @model_validator(mode="after")
    def _holds_together(self) -> AgentConfig:
        if self.reasoning_min_steps > self.reasoning_max_steps:
            raise ValueError("reasoning_min_steps must not be more than reasoning_max_steps.")
        if len(set(self.models)) < len(self.models):
            raise ValueError("A model is listed twice in model and model_fallbacks.")
        self._script_is_played()
        self._is_json()
        return self

    def _script_is_played(self) -> None:
        players = [model for model in self.models if model.startswith(SCRIPTED) and model != ECHO]
        if players and self.script is None:
            raise ValueError(f"{players[0]} needs a script: {{turns: [{{text: …}}]}}; only {ECHO} answers without one.")
        if self.script is not None and not players:
            raise ValueError(f"A script has an effect only with a {SCRIPTED} model other than {ECHO}.")

    def _is_json(self) -> None:
        # JSON's 1e400 is read as infinity, which no JSON parser would take back from the database.
        try:
            json.dumps(self.model_dump(), allow_nan=False)
        except ValueError:
            raise ValueError("A number is too large.") from None

    def stored(self) -> dict[str, Any]:
        """As it is kept and read back: JSON, without what was not given and has no default."""
        config = self.model_dump(mode="json", exclude_none=True, exclude={"script"})
        # A script is read back as it was written: its many defaults would bury it.
        return config if self.script is None else config | {"script": self.script.model_dump(mode="json", exclude_unset=True)}


class _Holder(Body):
    config: AgentConfig


def parse_config(raw: dict[str, Any]) -> AgentConfig:
    """A config from JSON; the errors' pointers begin with `/config`. Raises InvalidRequest, NotSupportedYet."""
    refuse_later_config(raw)
    try:
        return _Holder.model_validate({"config": raw}).config
    except pydantic.ValidationError as error:
        raise invalid_request(cast("list[dict[str, Any]]", error.errors(include_url=False, include_input=False)), _Holder) from None


def refuse_later_config(raw: Any) -> None:
    """Refuse fields of a later release; looks at the raw JSON, whatever its shape. Raises NotSupportedYet."""
    if not isinstance(raw, dict):
        return
    config = cast("dict[str, Any]", raw)
    errors = _later(config)
    if errors:
        raise NotSupportedYet(
            "The config has fields that nothing would act on yet.", hint="Remove the fields that errors[] names.", errors=errors
        )


def _later(config: dict[str, Any]) -> tuple[FieldError, ...]:
    worker: Any = config.get("worker_config")
    if not isinstance(worker, dict):
        return ()
    found = [(f"/config/worker_config/{name}", what) for name, what in _LATER_WORKER.items() if worker.get(name)]  # pyright: ignore[reportUnknownMemberType]
    return tuple(FieldError(pointer, what) for pointer, what in found)


async def check_models(config: AgentConfig, checks: ModelChecks) -> None:
    """Each model exists here and takes the settings. Raises the Problem of the first that does not."""
    settings = config.model_settings.given()
    for pointer, model in _placed(config):
        try:
            checks.require(model)
            await checks.check_settings(model, settings, reasoning=config.enable_reasoning)
        except Problem as problem:
            problem.errors = problem.errors or (FieldError(pointer, problem.detail),)
            raise


def _placed(config: AgentConfig) -> Iterator[tuple[str, str]]:
    yield "/config/model", config.model
    for index, model in enumerate(config.model_fallbacks):
        yield f"/config/model_fallbacks/{index}", model
