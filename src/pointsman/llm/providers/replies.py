"""What a provider answered, judged: whole, finished and not withheld, or the problem that it is none of these."""

from __future__ import annotations

import msgspec

from pointsman.llm.errors import ModelAnswerInvalid, ModelContentFiltered, ModelProblem
from pointsman.llm.port import AssistantMessage, Text, ToolCall, Usage
from pointsman.llm.providers.port import FinishReason, Reply
from pointsman.llm.providers.problems import unfinished

_UNFINISHED = frozenset({"in_progress", "queued"})


class Ending(msgspec.Struct, frozen=True):
    """How an answer ended: `reason` in our words (None: the provider's is unknown to us), `raw` in the provider's."""

    reason: FinishReason | None
    raw: str | None
    refusal: str = ""
    streamed: bool = False


def judge(message: AssistantMessage, ending: Ending, usage: Usage | None, *, name: str, structured: bool) -> Reply:
    """The answer, if it is one. Raises ModelContentFiltered, ModelAnswerInvalid."""
    reason, raw = ending.reason, ending.raw
    if reason == "content_filter" and not any(isinstance(part, ToolCall | Text) for part in message.parts):
        raise _reported(ModelContentFiltered(f"{name}: the answer was withheld. {ending.refusal}".strip(), model=name), usage)
    if reason == "error":
        raise _reported(ModelAnswerInvalid(f"{name}: the provider ended the answer with an error ({raw}).", model=name), usage)
    if reason != "content_filter" and not is_finish(raw):
        raise _reported(unfinished(name), so_far(usage) if ending.streamed else usage, produced=_size(message))
    finish = reason or "stop"
    if finish == "stop" and any(isinstance(part, ToolCall) for part in message.parts):
        finish = "tool_calls"  # Google and the Responses API say only that the model stopped
    return Reply(_without_fence(message) if structured else message, finish, usage)


def is_finish(raw: str | None) -> bool:
    """Whether a provider's word for the end is one."""
    return bool(raw) and raw not in _UNFINISHED


def so_far(usage: Usage | None) -> Usage | None:
    """Usage that was reported before the end, which is not the last word."""
    return None if usage is None else msgspec.structs.replace(usage, is_estimated=True)


def _reported(problem: ModelProblem, usage: Usage | None, produced: int | None = None) -> ModelProblem:
    problem.reported = usage
    problem.produced = produced
    problem.reached = True
    return problem


def _size(message: AssistantMessage) -> int:
    return sum(len(part.args) if isinstance(part, ToolCall) else len(part.text) for part in message.parts)


def _without_fence(message: AssistantMessage) -> AssistantMessage:
    """Models that are asked for JSON in words like to wrap it in a Markdown fence."""
    parts = tuple(Text(_unfenced(part.text)) if isinstance(part, Text) else part for part in message.parts)
    return msgspec.structs.replace(message, parts=parts)


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if not (stripped.startswith("```") and stripped.endswith("```")):
        return text
    return stripped.removesuffix("```").partition("\n")[2].strip()
