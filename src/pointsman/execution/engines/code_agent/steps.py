"""Records what a code agent's model did: its usage at once, its words for those who follow the job."""

from __future__ import annotations

import time

from pointsman.execution.engines.code_agent.toolbox import title_of
from pointsman.execution.engines.spending import Spending
from pointsman.execution.ports import Work
from pointsman.llm.estimates import estimate
from pointsman.llm.port import ModelAnswer, ModelCall, Spend, ToolCall, ToolResult, UserMessage


class Steps:
    """The port `Recorder`; `done` are the results of tools since the model's last answer.

    A job's steps become a checkpoint when it waits for a person, and else live as long as its attempt.
    """

    def __init__(self, work: Work, spending: Spending) -> None:
        self._work = work
        self._spending = spending
        self._asked: ModelCall | None = None
        self._asked_at = 0.0
        self._came = 0
        self._says = False
        self.done: list[ToolResult] = []

    async def asking(self, call: ModelCall) -> None:
        self._asked, self._asked_at, self._came = call, time.monotonic(), 0

    def text(self, text: str) -> None:
        self._came += len(text)
        self._says = True
        self._work.output(text)

    def reasoning(self, text: str) -> None:
        self._came += len(text)

    def reset(self, reason: str) -> None:
        self._line_ends()
        self._work.output(f"[begins anew: {reason}]\n")

    async def ready(self) -> None:
        return

    async def model_step(self, answer: ModelAnswer, note: UserMessage | None = None) -> None:
        del note
        self.done = []
        await self.paid(answer.spent)
        self._line_ends()
        for part in answer.message.parts:
            if isinstance(part, ToolCall):
                self._work.output(f"> {title_of(part)}\n")

    async def tool_step(self, result: ToolResult) -> None:
        self.done.append(result)
        if result.is_error:
            self._work.output(f"[{result.name}: {result.content.splitlines()[0][:500] if result.content else 'failed'}]\n")

    async def paid(self, spent: tuple[Spend, ...]) -> None:
        """A call is over."""
        self._asked = None
        await self._spending.record(spent)

    async def interrupted(self) -> None:
        """Deadline and cancel come amid a call as well: nobody will report what it used until then, so it is estimated."""
        if self._asked is not None:
            latency_ms = int((time.monotonic() - self._asked_at) * 1000)
            await self._spending.record_at_last([Spend(self._asked.models[0], estimate(self._asked, self._came), latency_ms)])

    def _line_ends(self) -> None:
        if self._says:
            self._work.output("\n")
        self._says = False
