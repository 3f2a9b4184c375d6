"""Reads what a command-line agent prints: plain text, or one JSON object a line, by a mapping."""

from __future__ import annotations

import codecs
import json
from typing import Any, Protocol, cast

from pointsman.execution.engines.filling import found_at, number_at, text_at
from pointsman.execution.engines.printed import Tell, plain
from pointsman.execution.handlers import CommandAgent, StreamMapping
from pointsman.llm.port import Usage

_LONGEST_LINE = 4 * 2**20
_MOST_KEPT = 256 * 1024


class AgentOutput(Protocol):
    """What an agent has said so far."""

    error: str
    tools: list[str]
    usages: list[tuple[str, Usage]]

    @property
    def text(self) -> str:
        """Its answer."""
        ...

    def add(self, data: bytes) -> None:
        """More of its standard output."""
        ...

    def end(self) -> None:
        """There is no more."""
        ...


def reader_of(handler: CommandAgent, tell: Tell) -> AgentOutput:
    """The parser that the handler names."""
    return StreamedJson(handler.mapping, tell) if handler.parser == "stream-json" else PlainText(tell)


class PlainText:
    """All of it is the answer."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self.error = ""
        self.tools: list[str] = []
        self.usages: list[tuple[str, Usage]] = []

    @property
    def text(self) -> str:
        """As it was printed."""
        return self._text

    def add(self, data: bytes) -> None:
        self._say(self._decoder.decode(data))

    def end(self) -> None:
        self._say(self._decoder.decode(b"", final=True))

    def _say(self, text: str) -> None:
        text = plain(text)
        if text:
            self._tell(text, "stdout")
        self._text += text[: _MOST_KEPT - len(self._text)]


class StreamedJson:
    """A line is read by its `type`; a line that is no JSON object is passed on as it is, and no part of the answer."""

    def __init__(self, mapping: StreamMapping, tell: Tell) -> None:
        self._mapping = mapping
        self._tell = tell
        self._rest = b""
        self._said = ""
        self._result = ""
        self.error = ""
        self.tools: list[str] = []
        self.usages: list[tuple[str, Usage]] = []

    @property
    def text(self) -> str:
        """The result that the agent gave, else all that it said."""
        return self._result or self._said

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._read(line)
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""

    def end(self) -> None:
        self._read(self._rest)
        self._rest = b""

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            said: Any = json.loads(line)
        except ValueError:
            said = None
        if isinstance(said, dict):
            self._sort(cast("dict[str, Any]", said))
        else:
            self._tell(plain(line.decode(errors="replace")) + "\n", "stdout")

    def _sort(self, said: dict[str, Any]) -> None:
        mapping, kind = self._mapping, text_at(said, self._mapping.type)
        if kind in mapping.text:
            text = plain(text_at(said, mapping.text[kind]))
            self._said += text[: _MOST_KEPT - len(self._said)]
            self._tell(text, "stdout")
        if kind in mapping.tool and (name := plain(text_at(said, mapping.tool[kind]))):
            self.tools.append(name[:200])
            self._tell(f"\n> {name[:200]}\n", "stdout")
        if kind in mapping.result:
            self._result = plain(text_at(said, mapping.result[kind]))[:_MOST_KEPT] or self._result
        if kind in mapping.error:
            self.error = plain(text_at(said, mapping.error[kind]))[:2000] or "the agent reported an error"
        if kind in mapping.usage:
            self._count(said, found_at(said, mapping.usage[kind]))

    def _count(self, said: dict[str, Any], told: Any) -> None:
        mapping = self._mapping
        usage = Usage(prompt_tokens=number_at(told, mapping.prompt_tokens), completion_tokens=number_at(told, mapping.completion_tokens))
        if usage.total_tokens:
            self.usages.append((text_at(said, mapping.model), usage))
