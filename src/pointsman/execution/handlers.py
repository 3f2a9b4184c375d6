"""What an engine's `handler_config` may say, for each type of engine."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pointsman.execution.configs import read_config
from pointsman.execution.connections import Url
from pointsman.execution.grants import Environment, OperatorPolicy, Plain, Secret, Values
from pointsman.execution.rows import EngineType
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.llm.options import ModelSettings
from pointsman.llm.script import Script
from pointsman.web.wire import Body

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Place = Annotated[str, StringConstraints(max_length=255, pattern=r"^(\*|[A-Za-z0-9_-]+)(\.(\*|[A-Za-z0-9_-]+))*$")]
"""A place within JSON: names and numbers with dots between, `*` for each item of a list."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Handler(Body):
    policy: OperatorPolicy = Field(default_factory=OperatorPolicy)


class DirectOps(_Handler):
    """Runs the job's commands, as they are."""


class BuiltinAgent(_Handler):
    """Our own loop of a model and tools that act inside the sandbox."""

    handler: Literal["builtin"] = "builtin"
    model: ModelName | None = Field(default=None, description="`provider:model`; unset: the first one of the engine's provider.")
    model_fallbacks: list[ModelName] = Field(default_factory=list[str], max_length=5)
    model_settings: ModelSettings = Field(default_factory=ModelSettings)
    script: Script | None = Field(default=None, description="What a `scripted:` model answers, where the worker agent has none.")
    instructions: Annotated[str, StringConstraints(max_length=20_000)] = Field(default="", description="Added to what the model is told.")
    max_steps: int = Field(default=64, strict=True, ge=1, le=1000, description="Most model calls of a job.")
    tool_timeout: Seconds = Field(default=600, description="Longest call of a tool in seconds.")


class StreamMapping(Body):
    """Where a command-line agent's JSON lines say what; a line that none of the matches fits is left out.

    `match` is the value of `type` that a line has; places are looked up within the line.
    """

    type: Place = "type"
    text: dict[str, Place] = Field(default_factory=lambda: {"text": "text", "delta": "text"}, max_length=16)
    tool: dict[str, Place] = Field(default_factory=lambda: {"tool_call": "name", "tool_use": "name"}, max_length=16)
    result: dict[str, Place] = Field(default_factory=lambda: {"result": "result"}, max_length=16)
    error: dict[str, Place] = Field(default_factory=lambda: {"error": "message"}, max_length=16)
    usage: dict[str, Place] = Field(default_factory=lambda: {"result": "usage"}, max_length=16)
    model: Place = "model"
    prompt_tokens: Place = "input_tokens"
    completion_tokens: Place = "output_tokens"


class CommandAgent(_Handler):
    """A coding agent with a command line, run inside the sandbox."""

    handler: Literal["cli"]
    argv: list[Plain] = Field(
        min_length=1, max_length=128, description="`{prompt}`, `{model}`, `{job_id}` and `{workspace}` are filled in."
    )
    stdin: Literal["none", "prompt"] = "none"
    env: Environment = Field(default_factory=dict[str, Any])
    parser: Literal["text", "stream-json"] = "text"
    mapping: StreamMapping = Field(default_factory=StreamMapping)
    model: ModelName | None = Field(default=None, description="Fills `{model}`, and names the usage where the agent does not.")


class Call(Body):
    """A request of a remote agent's API; `{id}`, `{prompt}` and the like are filled in."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: Annotated[Plain, StringConstraints(pattern=r"^/")]
    body: dict[str, Any] | None = None


class ManagedAgent(_Handler):
    """A remote agent, started and followed by HTTP; where it is says a target of type `managed_agents`."""

    start: Call = Field(default_factory=lambda: Call(path="/runs", body={"prompt": "{prompt}", "system": "{system}"}))
    id: Place = "id"
    poll: Call = Field(default_factory=lambda: Call(method="GET", path="/runs/{id}"))
    stream: Call | None = Field(default=None, description="Server-sent events to follow it by; how it ended is polled all the same.")
    cancel: Call | None = Field(default_factory=lambda: Call(path="/runs/{id}/cancel"))
    status: Place = "status"
    done: list[str] = Field(default_factory=lambda: ["completed", "succeeded", "done"], min_length=1, max_length=16)
    failed: list[str] = Field(default_factory=lambda: ["failed", "error", "cancelled"], max_length=16)
    delta: Place = Field(default="text", description="Within an event of the stream: what the agent says.")
    output: Place = "output"
    error: Place = "error"
    usage: Place = "usage"
    model: Place = "model"
    prompt_tokens: Place = "input_tokens"
    completion_tokens: Place = "output_tokens"
    interval: Seconds = Field(default=2, description="Seconds between polls.")
    request_timeout: Seconds = 30


def _kept_secret(url: str) -> str:
    host = urlsplit(url).hostname or ""
    if not url.startswith("https://") and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("Write https://…: what is sent is nobody else's business. http is for this machine only.")
    return url


class Endpoint(Body):
    """Where signed requests go, by Standard Webhooks."""

    url: Annotated[Url, AfterValidator(_kept_secret)]
    secret: Secret = Field(description="What requests are signed with: `whsec_` and base64, or any text.")
    headers: Values = Field(default_factory=dict[str, Any])
    timeout: Seconds = Field(default=3600, description="Longest wait for the answer in seconds.")


class Custom(_Handler):
    """An engine of one's own: an HTTPS endpoint, or a Python entry point of the group `pointsman.engines`."""

    endpoint: Endpoint | None = None
    entry_point: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")] | None = None
    options: dict[str, Any] = Field(default_factory=dict[str, Any], description="Handed to it.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Custom:
        if (self.endpoint is None) == (self.entry_point is None):
            raise ValueError("Give either endpoint or entry_point.")
        return self


Handler = DirectOps | BuiltinAgent | CommandAgent | ManagedAgent | Custom
_KINDS: dict[EngineType, type[Handler]] = {"direct_ops": DirectOps, "managed_agent": ManagedAgent, "custom": Custom}
_AGENTS: dict[str, type[BuiltinAgent | CommandAgent]] = {"builtin": BuiltinAgent, "cli": CommandAgent}


def read_handler(kind: EngineType, raw: dict[str, Any]) -> Handler:
    """A `handler_config`, with its defaults. Raises InvalidRequest with pointers below `/handler_config`."""
    if kind != "code_agent":
        return read_config(_KINDS[kind], raw, "handler_config")
    handler = raw.get("handler", "builtin")
    if not isinstance(handler, str) or handler not in _AGENTS:
        message = "The handler of a code_agent is 'builtin' or 'cli'."
        raise InvalidRequest(message, errors=(FieldError("/handler_config/handler", message),))
    return read_config(_AGENTS[handler], raw, "handler_config")
