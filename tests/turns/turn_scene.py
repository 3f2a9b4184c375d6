"""The ports of a turn: scripted models that remember what they were asked, tools in memory, a recorder that is a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pointsman.llm.models import Models
from pointsman.llm.port import (
    Message,
    ModelAnswer,
    ModelCall,
    StreamItem,
    Text,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from pointsman.runs.events import encode_json
from pointsman.settings import Settings
from pointsman.turns.loop import TurnPaused, TurnResult, run_turn
from pointsman.turns.plan import TurnPlan, TurnState
from pointsman.turns.ports import ToolOutcome

Handler = Callable[[ToolCall], Awaitable[ToolOutcome]]
ROW: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class ScriptedModels:
    """A ModelPort on the real models, of which only scripted ones are asked."""

    def __init__(self) -> None:
        self._models = Models(Settings())
        self.asked: list[ModelCall] = []

    async def complete(self, call: ModelCall) -> ModelAnswer:
        self.asked.append(call)
        return await self._models.complete(call)

    async def stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        self.asked.append(call)
        async with aclosing(self._models.stream(call)) as items:
            async for item in items:
                yield item


@dataclass
class Tools:
    """A Toolbox whose tools say what they were called with, unless a test says otherwise."""

    names: tuple[str, ...] = ("look", "count")
    handlers: dict[str, Handler] = field(default_factory=dict[str, Handler])
    called: list[str] = field(default_factory=list[str])

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(ToolSpec(name, f"Does {name}.", {"type": "object"}) for name in self.names)

    async def call(self, call: ToolCall) -> ToolOutcome:
        self.called.append(call.id)
        if handler := self.handlers.get(call.name):
            return await handler(call)
        for _ in range(len(call.args) * 7 % 5):  # results come in an order of their own
            await asyncio.sleep(0)
        return ToolOutcome(f"{call.name} {call.args}")


class Crash(Exception):  # noqa: N818 - it is no error of the turn
    """The process is gone."""


class Tape:
    """A Recorder: rows as they would be stored, and what readers are told."""

    def __init__(self, rows: list[bytes], *, crash_after: int | None = None) -> None:
        self.rows = rows
        self.told: list[tuple[str, str]] = []
        self._steps_left = crash_after

    async def asking(self, call: ModelCall) -> None:
        self.told.append(("asking", call.models[0]))

    def text(self, text: str) -> None:
        self.told.append(("text", text))

    def reasoning(self, text: str) -> None:
        self.told.append(("reasoning", text))

    def reset(self, reason: str) -> None:
        self.told.append(("reset", reason))

    async def ready(self) -> None:
        await asyncio.sleep(0)

    async def model_step(self, answer: ModelAnswer, note: UserMessage | None = None) -> None:
        await self._record(answer.message, *((note,) if note else ()))

    async def tool_step(self, result: ToolResult) -> None:
        await self._record(ToolMessage((result,)))

    @property
    def shown(self) -> str:
        """The text that a reader has at the end."""
        text = ""
        for kind, piece in self.told:
            text = "" if kind == "reset" else text + piece if kind == "text" else text
        return text

    async def _record(self, *messages: Message) -> None:
        await asyncio.sleep(0)
        if self._steps_left is not None:
            if not self._steps_left:
                raise Crash
            self._steps_left -= 1
        self.rows += [encode_json(message) for message in messages]


@dataclass
class Turn:
    """One turn of one scripted model, from its first row or from any later one."""

    turns: list[dict[str, Any]]
    tools: Tools = field(default_factory=Tools)
    models: ScriptedModels = field(default_factory=ScriptedModels)
    rows: list[bytes] = field(default_factory=lambda: [msgspec.json.encode(UserMessage((Text("hello"),)))])
    model: str = "scripted:play"
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.tape = Tape(self.rows)
        self.state = TurnState([ROW.decode(row) for row in self.rows])

    @property
    def plan(self) -> TurnPlan:
        given: dict[str, Any] = {"models": (self.model,), "system": "", "history": (), "settings": {}} | self.options
        return TurnPlan(script={"turns": self.turns}, **given)

    async def run(self) -> TurnResult:
        result = await run_turn(self.plan, self.state, self.models, self.tools, self.tape)
        assert isinstance(result, TurnResult)
        return result

    async def pause(self) -> TurnPaused:
        result = await run_turn(self.plan, self.state, self.models, self.tools, self.tape)
        assert isinstance(result, TurnPaused)
        return result

    def resumed(self, rows: int) -> Turn:
        """The same turn in another process, which finds this many rows."""
        tools = Tools(self.tools.names, self.tools.handlers)
        return Turn(self.turns, tools, rows=self.rows[:rows], model=self.model, options=self.options)

    def results(self) -> list[ToolResult]:
        """What the tools returned, in the order in which the model is shown it."""
        return [part for message in self.state.conversation(()) if isinstance(message, ToolMessage) for part in message.parts]


def calls(*names: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": args} for name in names]}
