"""The `scripted:` provider: models that say what a script says, deterministic, offline and free."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import msgspec
import pydantic

from pointsman.llm.errors import (
    ModelAnswerInvalid,
    ModelBusy,
    ModelContentFiltered,
    ModelCredentials,
    ModelProblem,
    ModelRateLimited,
    ModelRejected,
    ModelScriptInvalid,
    ModelTimeout,
    ModelUnavailable,
)
from pointsman.llm.port import (
    AssistantMessage,
    File,
    Message,
    ModelCall,
    ReasoningDelta,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from pointsman.llm.providers.port import FinishReason, Reply
from pointsman.llm.script import Script, ScriptedError, ScriptedTurn

_ECHO = ScriptedTurn(text="{message}")
_PLACEHOLDER = re.compile(
    r"\{(message|system|history|transcript|tool_result|tools|settings|attachments|model)\}|\{tool_result\.([\w.-]+)\}"
)
_PROBLEMS: dict[str, type[ModelProblem]] = {
    "unavailable": ModelUnavailable,
    "timeout": ModelTimeout,
    "rate-limited": ModelRateLimited,
    "rejected": ModelRejected,
    "credentials": ModelCredentials,
    "answer-invalid": ModelAnswerInvalid,
    "content-filtered": ModelContentFiltered,
    "busy": ModelBusy,
}


class ScriptedAdapter:
    """Plays scripts. `scripted:echo` needs none: it answers with the last user text."""

    async def complete(self, model: str, call: ModelCall) -> Reply:
        async for item in self.stream(model, call):
            if isinstance(item, Reply):
                return item
        raise AssertionError("a scripted stream ends with its reply")

    async def stream(self, model: str, call: ModelCall) -> AsyncGenerator[TextDelta | ReasoningDelta | Reply]:
        number = turn_number(call)
        turn = _turn(model, call, number)
        fill = _filler(model, call)
        if turn.error is not None:
            before = fill(turn.error.after_text or "")
            async for word in _words(before, turn.delay_ms):
                yield TextDelta(word)
            raise _problem(turn.error, model, len(before) if before else None)
        thought, text = fill(turn.reasoning or ""), _answer_text(turn, fill)
        async for word in _words(thought, turn.delay_ms):
            yield ReasoningDelta(word)
        async for word in _words(text, turn.delay_ms):
            yield TextDelta(word)
        yield _reply(model, call, turn, number, thought, text)

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:  # noqa: ARG002 - shown by `{settings}`, so none is lost
        return frozenset()

    def reasons(self, model: str) -> bool:  # noqa: ARG002 - a script thinks by its own turns
        return False

    def accepts(self, model: str, media_type: str) -> bool:  # noqa: ARG002 - shown by `{attachments}`
        return True

    async def aclose(self) -> None:
        return


def turn_number(call: ModelCall) -> int:
    """How many answers the session had before this one."""
    if call.played is not None:
        return call.played + call.step
    return sum(isinstance(message, AssistantMessage) for message in call.messages)


def read_script(script: dict[str, Any] | None, model: str = "script") -> Script:
    """The script, validated. Raises ModelScriptInvalid."""
    if script is None:
        raise ModelScriptInvalid(
            f"scripted:{model} has no script.", hint="Put `script: {turns: [{text: …}]}` in the agent's config, or use scripted:echo."
        )
    try:
        return Script.model_validate(script)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ModelScriptInvalid(f"script.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _turn(model: str, call: ModelCall, number: int) -> ScriptedTurn:
    if model == "echo":
        return _ECHO
    turns = read_script(call.script, model).turns
    if number < len(turns):
        return turns[number]
    answers_tools = bool(call.messages) and isinstance(call.messages[-1], ToolMessage)
    return ScriptedTurn(text="{tool_result}") if turns[-1].tool_calls and answers_tools else turns[-1]


def _answer_text(turn: ScriptedTurn, fill: _filler) -> str:
    if turn.output is not None:
        return msgspec.json.encode(_filled(turn.output, fill)).decode()
    return fill(turn.text or "")


async def _words(text: str, delay_ms: float) -> AsyncGenerator[str]:
    for word in re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text):
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        yield word


def _reply(model: str, call: ModelCall, turn: ScriptedTurn, number: int, thought: str, text: str) -> Reply:
    fill = _filler(model, call)
    calls = tuple(
        ToolCall(id=made.id or f"call_{number}_{i}", name=made.name, args=msgspec.json.encode(_filled(made.args, fill)).decode())
        for i, made in enumerate(turn.tool_calls)
    )
    parts: list[Text | ToolCall | Thinking] = [Thinking(thought)] if thought else []
    parts += [Text(text)] if text else []
    parts += calls
    finish: FinishReason = "tool_calls" if calls else turn.finish_reason
    return Reply(AssistantMessage(tuple(parts), f"scripted:{model}"), finish, _usage(call, turn, thought, text, calls))


def _usage(call: ModelCall, turn: ScriptedTurn, thought: str, text: str, calls: tuple[ToolCall, ...]) -> Usage:
    """As the turn says, else words: deterministic, hence never an estimate."""
    if turn.usage is not None:
        return Usage(**turn.usage.model_dump())
    prompt = len(call.system.split()) + sum(len(_spoken(message).split()) for message in call.messages)
    written = len(text.split()) + sum(1 + len(made.args.split()) for made in calls)
    reasoning = len(thought.split())
    return Usage(prompt_tokens=prompt, completion_tokens=written + reasoning, reasoning_tokens=reasoning)


def _problem(error: ScriptedError, model: str, produced: int | None) -> ModelProblem:
    kind = error.kind or _kind_of(error.status)
    detail = f"scripted:{model}: {error.message}"
    if error.status:
        detail = f"scripted:{model}: the provider answered {error.status}: {error.message}"
    problem = _PROBLEMS[kind](detail, retry_after=error.retry_after, model=f"scripted:{model}")
    problem.produced = produced
    return problem


def _kind_of(status: int | None) -> str:
    if status == 429:
        return "rate-limited"
    if status in {401, 403}:
        return "credentials"
    return "unavailable" if status is None or status >= 500 or status == 408 else "rejected"


class _filler:  # noqa: N801 - it is called like a function
    """Fills placeholders in one pass, so that what a user writes is never a placeholder itself."""

    def __init__(self, model: str, call: ModelCall) -> None:
        self._model = model
        self._call = call

    def __call__(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: self._value(found[1]) if found[1] else self._part(found), text) if "{" in text else text

    def _part(self, found: re.Match[str]) -> str:
        """Of what the last tool returned; a way that leads nowhere is left as it is written, so that it shows."""
        results = self._call.messages[-1].parts if self._call.messages else ()
        content = next((part.content for part in reversed(results) if isinstance(part, ToolResult)), "")
        try:
            value = _at(msgspec.json.decode(content), found[2].split("."))
        except (msgspec.DecodeError, LookupError, ValueError, RecursionError):
            return found[0]
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def _value(self, name: str) -> str:
        call = self._call
        last = max((i for i, message in enumerate(call.messages) if isinstance(message, UserMessage)), default=0)
        parts = (part for message in call.messages for part in message.parts)
        values: dict[str, Callable[[], str]] = {
            "message": lambda: _spoken(call.messages[last]) if call.messages else "",
            "system": lambda: call.system,
            "history": lambda: str(last),
            "transcript": lambda: "\n".join(f"{_role(message)}: {_spoken(message)}" for message in call.messages[:last]),
            "tool_result": lambda: "\n".join(_spoken(message) for message in call.messages[-1:] if isinstance(message, ToolMessage)),
            "tools": lambda: ", ".join(tool.name for tool in call.tools),
            "settings": lambda: msgspec.json.encode(call.settings, order="sorted").decode(),
            "attachments": lambda: ", ".join(part.media_type for part in parts if isinstance(part, File)),
            "model": lambda: f"scripted:{self._model}",
        }
        return values[name]()


def _at(value: Any, way: list[str]) -> Any:
    """What lies there in JSON; a list's places count from 0. Raises LookupError, ValueError."""
    for step in way:
        match value:
            case list():
                value = cast("list[Any]", value)[int(step)]
            case dict():
                value = cast("dict[str, Any]", value)[step]
            case _:
                raise LookupError(step)
    return value


def _filled(value: Any, fill: _filler) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {str(name): _filled(item, fill) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_filled(item, fill) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _role(message: Message) -> str:
    return {UserMessage: "user", AssistantMessage: "assistant", ToolMessage: "tool"}[type(message)]


def _spoken(message: Message) -> str:
    return "\n".join(part.text if isinstance(part, Text) else part.content for part in message.parts if isinstance(part, Text | ToolResult))
