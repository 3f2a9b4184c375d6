"""Puts a model's answer together, whole or as it comes; what came in one read is one delta."""

from __future__ import annotations

import uuid
from typing import Any, Literal

import msgspec

from pointsman.llm.errors import ModelProblem
from pointsman.llm.port import AssistantMessage, ReasoningDelta, Text, TextDelta, Thinking, ToolCall
from pointsman.llm.providers.chat_completions.capabilities import Capabilities
from pointsman.llm.providers.chat_completions.special_tokens import TextRestorer, restore_arguments, restore_text
from pointsman.llm.providers.chat_completions.usage import UsageReader
from pointsman.llm.providers.chat_completions.wire import (
    CallPiece,
    Chunk,
    Completion,
    Delta,
    arguments_of,
    text_in,
    thought_in,
)
from pointsman.llm.providers.port import FinishReason, Reply
from pointsman.llm.providers.replies import Ending, is_finish, judge, so_far

FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_LONGEST = 32 * 1024 * 1024  # characters
_IN_CONTENT = "content"  # the id of thoughts that came between tags in the text


class AnswerTooLong(Exception):  # noqa: N818 - a fact, like our problems
    """An answer did not end within the bound."""


class CallUnknown(Exception):  # noqa: N818 - a fact, like our problems
    """The model called what is no function."""


class _Part(msgspec.Struct):
    """A part of the answer under way: `id` is the field that a thought came in; of a call that of the call."""

    kind: Literal["text", "thought", "call"]
    pieces: list[str]
    id: str = ""
    name: str | None = None
    extra: Any = None
    restorer: TextRestorer | None = None


class AnswerReader:
    """What all answers of one model have in common. `author` is the provider's name in a history's messages."""

    __slots__ = ("author", "capabilities", "name", "usage")

    def __init__(self, name: str, author: str, capabilities: Capabilities, usage: UsageReader) -> None:
        self.name = name
        self.author = author
        self.capabilities = capabilities
        self.usage = usage

    def read(self, answer: Completion, *, structured: bool) -> Reply:
        """A whole answer. Raises ModelContentFiltered, ModelAnswerInvalid, CallUnknown, and IndexError where it has no choice."""
        choice, usage = answer.choices[0], self.usage.read(answer.usage)
        message, raw = choice.message, choice.finish_reason
        if message.refusal:
            ending = Ending("content_filter", None, message.refusal)
            return judge(AssistantMessage((), self.name), ending, usage, name=self.name, structured=structured)
        parts: list[Text | ToolCall | Thinking] = []
        field, thought = thought_in(message)
        if thought:
            parts.append(Thinking(thought, id=field, provider=self.author))
        parts += self._split(text_in(message.content))
        parts += [self._call(call) for call in message.tool_calls or ()]
        ending = Ending(FINISHED.get(raw) if raw else "stop", raw)
        return judge(AssistantMessage(tuple(parts), self.name), ending, usage, name=self.name, structured=structured)

    def text(self, text: str) -> Text:
        """A text of the answer."""
        return Text(restore_text(text) if self.capabilities.breaks_tokens else text)

    def call(self, part_id: str, name: str, arguments: str, extra: Any) -> ToolCall:
        """A call of the answer."""
        if self.capabilities.breaks_tokens:
            arguments = restore_arguments(arguments)
        details = {"extra_content": extra} if extra else None
        return ToolCall(
            part_id or f"call_{uuid.uuid4().hex}", name, arguments or "{}", provider=self.author if details else None, details=details
        )

    def _split(self, content: str) -> list[Text | Thinking]:
        """The text and the thoughts that are between tags in it."""
        begins, ends = self.capabilities.thinking_tags
        parts: list[Text | Thinking] = []
        while content and begins in content:
            before, _, content = content.partition(begins)
            if before:
                parts.append(self.text(before))
            if ends in content:
                thought, _, content = content.partition(ends)
                parts.append(Thinking(thought, id=_IN_CONTENT, provider=self.author))
            else:
                break
        return [*parts, self.text(content)] if content else parts

    def _call(self, call: CallPiece) -> ToolCall:
        if call.function is None or call.function.name is None:
            raise CallUnknown
        return self.call(call.id or "", call.function.name, arguments_of(call.function), call.extra_content)


class StreamedAnswer:
    """An answer as it comes. `produced` counts the characters so far, `began` says whether any part has begun."""

    __slots__ = (
        "_breaks",
        "_calls",
        "_finish",
        "_held_space",
        "_parts",
        "_raw",
        "_reader",
        "_refusal",
        "_reported",
        "_run",
        "_run_kind",
        "_shown",
        "_skips",
        "_text",
        "_text_after_thought",
        "_thoughts",
        "began",
        "produced",
    )

    def __init__(self, reader: AnswerReader) -> None:
        self.began = False
        self.produced = 0
        self._reader = reader
        self._breaks = reader.capabilities.breaks_tokens
        self._skips = reader.capabilities.skips_leading_whitespace
        self._parts: list[_Part] = []
        self._shown: list[TextDelta | ReasoningDelta] = []
        self._run: list[str] = []
        self._run_kind: type[TextDelta | ReasoningDelta] = TextDelta
        # The parts that further pieces belong to: the text or tagged thought, the thoughts by field, the calls by index.
        self._text: _Part | None = None
        self._thoughts: dict[str, _Part] = {}
        self._calls: dict[int, _Part] = {}
        self._text_after_thought = False
        self._held_space = ""
        self._finish: FinishReason | None = None
        self._raw: str | None = None
        self._refusal = ""
        self._reported: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether the model said that it was."""
        return self._raw is not None

    def add(self, chunk: Chunk) -> None:
        """The next event of the stream. Raises AnswerTooLong."""
        if chunk.usage:
            self._report(chunk.usage)
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        if choice.finish_reason:
            self._raw = choice.finish_reason
            self._finish = FINISHED.get(choice.finish_reason)
        delta = choice.delta
        if delta is None:
            return
        if delta.refusal:
            self._refusal += delta.refusal
            return
        self._add(delta)
        if self.produced > _LONGEST:
            raise AnswerTooLong

    def take(self) -> list[TextDelta | ReasoningDelta]:
        """What came since the last time."""
        self._end_run()
        shown, self._shown = self._shown, []
        return shown

    def end(self, *, structured: bool) -> Reply:
        """The whole answer. Raises ModelContentFiltered, ModelAnswerInvalid."""
        reader = self._reader
        self._flush()
        parts = tuple(part for part in map(self._ended, self._parts) if part is not None)
        ending = Ending("content_filter", None, self._refusal) if self._refusal else Ending(self._finish, self._raw, streamed=True)
        return judge(
            AssistantMessage(parts, reader.name), ending, reader.usage.read(self._reported), name=reader.name, structured=structured
        )

    def broken_off(self, problem: ModelProblem) -> ModelProblem:
        """The problem, with how much of the answer had come before it and what the provider had counted by then."""
        if self.began:
            problem.produced = self.produced
        usage = self._reader.usage.read(self._reported)
        problem.reported = usage if is_finish(self._raw) else so_far(usage)
        return problem

    def _report(self, usage: dict[str, Any]) -> None:
        # Reports are running totals, and some servers send the last one twice: the latest that says anything holds.
        if self._reported is None or self._reader.usage.read(usage) is not None:
            self._reported = usage

    def _add(self, delta: Delta) -> None:
        content = delta.content
        if delta.reasoning or delta.reasoning_content:
            field, thought = thought_in(delta)
            if thought:
                self._think(field, thought)
        if content:
            text = content if isinstance(content, str) else text_in(content)
            if text:
                self._say(text)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call)

    def _begin(self, part: _Part) -> _Part:
        self.began = True
        self._parts.append(part)
        if self._breaks and part.kind != "call":
            self._flush()
        return part

    def _think(self, field: str, thought: str) -> None:
        part = self._thoughts.get(field)
        if part is None:
            part = self._thoughts[field] = self._begin(_Part("thought", [], field))
            self._text_after_thought = self._end_text() or self._text_after_thought
        part.pieces.append(thought)
        self._show(ReasoningDelta, thought)

    def _end_text(self) -> bool:
        """Whatever interrupts a text ends it; a thought between tags goes on until its own end."""
        if self._text is not None and self._text.kind == "text":
            self._text = None
            return True
        return False

    def _say(self, text: str) -> None:
        part = self._text
        begins, ends = self._reader.capabilities.thinking_tags
        if part is not None and part.kind == "thought":
            if text == ends:
                self._text = None
            else:
                part.pieces.append(text)
                self._show(ReasoningDelta, text)
            return
        if text == begins:
            self._after_thoughts()
            self._text = self._begin(_Part("thought", [], _IN_CONTENT))
            return
        if part is None:
            if self._skips and text.isspace():
                self._held_space += text if self._text_after_thought else ""
                return
            self._after_thoughts()
            text, self._held_space = self._held_space + text, ""
            part = self._text = self._begin(_Part("text", [], restorer=TextRestorer() if self._breaks else None))
        part.pieces.append(text)
        self._show(TextDelta, part.restorer.feed(text) if part.restorer is not None else text)

    def _after_thoughts(self) -> None:
        self._thoughts.clear()
        self._text_after_thought = False

    def _call(self, piece: CallPiece) -> None:
        function = piece.function
        name = function.name if function is not None else None
        part = self._call_of(piece.index, name)
        had_name = part.name is not None
        if name:
            part.name = (part.name or "") + name
        elif name is not None and part.name is None:
            part.name = name
        if piece.id:
            part.id = piece.id
        if piece.extra_content:
            part.extra = piece.extra_content
        arguments = arguments_of(function)
        if arguments:
            part.pieces.append(arguments)
        if part.name is None:
            return
        if had_name:
            self.produced += len(arguments)
        else:
            self.began = True
            self._after_thoughts()
            self._end_text()
            self.produced += len(part.name) + sum(map(len, part.pieces))

    def _call_of(self, index: int | None, name: str | None) -> _Part:
        """The call that a piece belongs to. Without an index a name begins a new one."""
        if index is None:
            last = self._parts[-1] if self._parts else None
            part = last if last is not None and last.kind == "call" and name is None else None
        else:
            part = self._calls.get(index)
        if part is None:
            part = _Part("call", [])
            self._parts.append(part)
            if index is not None:
                self._calls[index] = part
        return part

    def _show(self, kind: type[TextDelta | ReasoningDelta], text: str) -> None:
        """To be shown with what came in the same read, as one delta where it is of the same kind."""
        if not text:
            return
        self.produced += len(text)
        if self._run_kind is not kind:
            self._end_run()
            self._run_kind = kind
        self._run.append(text)

    def _end_run(self) -> None:
        if self._run:
            self._shown.append(self._run_kind("".join(self._run)))
            self._run.clear()

    def _flush(self) -> None:
        """What was held back of a text that has ended."""
        for part in self._parts:
            if part.restorer is not None:
                self._show(TextDelta, part.restorer.flush())

    def _ended(self, part: _Part) -> Text | ToolCall | Thinking | None:
        reader, whole = self._reader, "".join(part.pieces)
        if part.kind == "text":
            return reader.text(whole)
        if part.kind == "thought":
            return Thinking(whole, id=part.id, provider=reader.author)
        return None if part.name is None else reader.call(part.id, part.name, whole, part.extra)
