"""What a scripted model says: a list of turns, as an agent's config holds it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ErrorKind = Literal["unavailable", "timeout", "rate-limited", "rejected", "credentials", "answer-invalid", "content-filtered", "busy"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScriptedToolCall(_Strict):
    """A tool that the model asks for."""

    name: str = Field(min_length=1, max_length=128)
    args: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: str | None = Field(default=None, min_length=1, max_length=128, description="Made from the turn's number where not given.")


class ScriptedError(_Strict):
    """A failure, as a real provider's would look."""

    kind: ErrorKind | None = Field(default=None, description="What fails; else `status` decides, else `unavailable`.")
    status: int | None = Field(default=None, ge=400, le=599, description="As if the provider had answered this HTTP status.")
    message: str = Field(default="the script says so", max_length=2000)
    retry_after: float | None = Field(default=None, ge=0, le=86_400, description="Seconds, as in a `Retry-After` header.")
    after_text: str | None = Field(default=None, min_length=1, description="Text that is streamed before the failure.")

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> ScriptedError:
        if self.kind and self.status:
            raise ValueError("`kind` and `status` both say what fails: give one of them")
        return self


class ScriptedUsage(_Strict):
    """Tokens that the turn reports; without it words are counted."""

    prompt_tokens: int = Field(default=0, strict=True, ge=0, le=2**31 - 1)
    completion_tokens: int = Field(default=0, strict=True, ge=0, le=2**31 - 1)
    cached_tokens: int = Field(default=0, strict=True, ge=0, le=2**31 - 1)
    cache_write_tokens: int = Field(default=0, strict=True, ge=0, le=2**31 - 1)
    reasoning_tokens: int = Field(default=0, strict=True, ge=0, le=2**31 - 1)


class ScriptedTurn(_Strict):
    """One answer of the model.

    In `text`, `reasoning`, the strings of `args` and `output`, and `after_text` these placeholders are filled, once and literally:
    `{message}` (the last user text), `{system}`, `{history}` (how many messages came before the last user message), `{transcript}`
    (those messages as text), `{tool_result}` (what the tools returned last), `{tool_result.0.file}` (what lies there in the JSON that the
    last of them returned), `{tools}` (names of the tools offered), `{settings}` (the model settings as JSON), `{attachments}` (media
    types), `{model}`.
    """

    text: str | None = None
    reasoning: str | None = Field(default=None, description="What the model thinks aloud before it answers.")
    tool_calls: tuple[ScriptedToolCall, ...] = Field(default=(), max_length=64)
    output: Any = Field(default=None, description="A structured answer, sent as JSON text.")
    error: ScriptedError | None = None
    delay_ms: float = Field(default=0, strict=True, ge=0, le=600_000, description="Pause before each word.")
    usage: ScriptedUsage | None = None
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"

    @model_validator(mode="after")
    def _says_one_thing(self) -> ScriptedTurn:
        said = [name for name in ("text", "tool_calls", "output", "error") if getattr(self, name) not in (None, ())]
        if not said:
            raise ValueError("a turn needs `text`, `tool_calls`, `output` or `error`")
        if len(said) > 1 and said != ["text", "tool_calls"]:
            raise ValueError(
                f"a turn cannot have {' and '.join(f'`{name}`' for name in said)} together; only `text` goes with `tool_calls`"
            )
        return self


class Script(_Strict):
    """The turns of a scripted model, one for each of its answers.

    They go on through a session: the first answer of the session plays the first turn, a tool call and the answer after it are two
    turns. After the last turn it is played again; if it calls tools, the answer to their results is those results, so every script ends.
    """

    turns: tuple[ScriptedTurn, ...] = Field(min_length=1, max_length=1000)
