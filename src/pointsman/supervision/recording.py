"""What the leader of a supervised run is asked and answers, told to the readers in small batches and recorded step by step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from pointsman.kit.db import Connection
from pointsman.kit.failpoints import Failpoint
from pointsman.kit.problems import Problem, Unavailable
from pointsman.llm.estimates import estimate, prompt_tokens
from pointsman.llm.port import AssistantMessage, Message, ModelAnswer, ModelCall, Spend, Text, ToolMessage, ToolResult, Usage, UserMessage
from pointsman.runs import events
from pointsman.supervision import queries
from pointsman.supervision.patience import AWAY_PAUSE
from pointsman.supervision.points import ASKING, ENDING, SAYING, STEPPING
from pointsman.supervision.steps import End, Facts, Place, Step, Told, Writer
from pointsman.turns.loop import TurnResult

_BATCH_SECONDS = 0.15
_CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True)
class _Speech:
    """What is to be told of an answer as it comes: what waits, and a batch of which nobody knows whether it was committed."""

    waiting: list[Told] = field(default_factory=list[Told])
    unsure: list[Told] = field(default_factory=list[Told])
    flushed_at: float = 0.0


class Recording:
    """One run in the hands of one handler; the recorder of the turn in which the leader answers the user. `outcome` is how it ended."""

    def __init__(self, facts: Facts, writer: Writer, place: Place, messages: list[Message], model: str) -> None:
        """Take up a claimed run with its recorded messages; `model` is whom the leader asks first."""
        self.facts = facts
        self.place = place
        self.messages = messages
        self.outcome: str | None = None
        self._writer = writer
        self._model = model
        self._lock = asyncio.Lock()
        self._speech = _Speech()
        self._partial: list[str] = []
        self._asked: ModelCall | None = None
        self._asked_at = 0.0

    @property
    def answers(self) -> int:
        """How often the leader has answered in this run."""
        return sum(isinstance(message, AssistantMessage) for message in self.messages)

    async def commit(self, step: Step, point: Failpoint = STEPPING) -> None:
        """Make a step durable, however long the database is away. Raises TakenOver.

        Where the handler is cancelled meanwhile it is committed all the same, and whatever comes next waits for it.
        """
        await asyncio.shield(asyncio.ensure_future(self._commit(step, point)))

    async def settled(self) -> None:
        """Wait until nothing is being committed."""
        async with self._lock:
            return

    async def note_cut_off(self, model: str, tokens: int, text: str) -> None:
        """Count by estimate the call amid which the run's former handler died; what had been said of its answer is void."""
        usage = Usage(prompt_tokens=tokens, completion_tokens=-(-len(text) // _CHARACTERS_PER_TOKEN), is_estimated=True)
        told = [_reset(self.answers, "the worker that had the run died")] if text else []
        await self.commit(Step(self.place, spent=[Spend(model, usage, 0)], told=told))

    def answered(self, answer: ModelAnswer) -> None:
        """A model's answer is at hand, and is recorded with the step that is committed next."""
        self._asked = None
        self._partial.clear()
        self._model = answer.message.model or self._model

    # --- the turn's recorder

    async def asking(self, call: ModelCall) -> None:
        async def mark(connection: Connection) -> None:
            await queries.mark_asking(connection, self.facts.run_id, call.models[0], prompt_tokens(call))

        await self._patiently(lambda: self._writer.fenced(mark, ASKING))
        self._asked, self._asked_at = call, time.monotonic()

    def text(self, text: str) -> None:
        self._partial.append(text)
        self._speech.waiting.append((events.MESSAGE_DELTA, {"message": self.answers, "text": text}))

    def reasoning(self, text: str) -> None:
        self._speech.waiting.append((events.REASONING_DELTA, {"message": self.answers, "text": text}))

    def reset(self, reason: str) -> None:
        self._partial.clear()
        self._speech.waiting.append(_reset(self.answers, reason))

    async def ready(self) -> None:
        """Store what has been said since the last time, unless that is only a moment ago."""
        now = time.monotonic()
        if self._speech.waiting and now - self._speech.flushed_at >= _BATCH_SECONDS:
            self._speech.flushed_at = now
            await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def model_step(self, answer: ModelAnswer, note: UserMessage | None = None) -> None:
        self.answered(answer)
        messages: list[Message] = [answer.message] if note is None else [answer.message, note]
        told = said(answer.message, self.answers) if note is None else []
        await self.commit(Step(self.place, messages, answer.spent, told))

    async def tool_step(self, result: ToolResult) -> None:
        await self.commit(Step(self.place, [ToolMessage((result,))]))

    # --- ends

    async def complete(self, result: TurnResult) -> None:
        """The leader's answer is the run's."""
        answer = result.answer
        self.answered(answer)
        end = End("completed", self._model, result.text, result.output)
        await self._end(end, [answer.message], answer.spent, said(answer.message, self.answers))

    async def fail(self, problem: Problem, spent: Sequence[Spend] | None = None) -> None:
        """It cannot come to an answer; `spent` is what the call that failed consumed, by estimate where it is not known."""
        end = End("failed", self._model, "".join(self._partial), problem=problem)
        await self._end(end, spent=self._interrupted() if spent is None else spent)

    async def cancel(self) -> None:
        """Somebody asked for it."""
        await self._end(End("cancelled", self._model, "".join(self._partial)), spent=self._interrupted())

    async def _end(self, end: End, messages: Sequence[Message] = (), spent: Sequence[Spend] = (), told: Sequence[Told] = ()) -> None:
        await self.commit(Step(replace(self.place, stage="ended"), messages, spent, told, end=end), ENDING)

    def _interrupted(self) -> list[Spend]:
        if self._asked is None:
            return []
        latency_ms = int((time.monotonic() - self._asked_at) * 1000)
        return [Spend(self._asked.models[0], estimate(self._asked, sum(map(len, self._partial))), latency_ms)]

    # --- writing

    async def _commit(self, step: Step, point: Failpoint) -> None:
        async with self._lock:
            if self.place.stage == "ended":  # its end was on the way when it was cancelled
                return
            speech = self._speech
            if speech.unsure:
                unsure = Step(self.place, told=speech.unsure)
                await self._patiently(lambda: self._writer.write(unsure, SAYING))
                speech.unsure = []
            said_before, speech.waiting = _joined(speech.waiting), []
            whole = replace(step, told=[*said_before, *step.told])
            await self._patiently(lambda: self._writer.write(whole, point))
            self.place = step.place
            self.messages += step.messages
            self.outcome = step.end.status if step.end else None

    async def _flush(self) -> None:
        """While the database is away, what is said waits for the next time."""
        async with self._lock:
            speech = self._speech
            if not speech.unsure:
                speech.unsure, speech.waiting = _joined(speech.waiting), []
            try:
                await self._writer.write(Step(self.place, told=speech.unsure), SAYING)
            except Unavailable:
                return
            speech.unsure = []

    async def _patiently(self, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await write()
            except Unavailable:
                await asyncio.sleep(AWAY_PAUSE)


def said(message: AssistantMessage, number: int) -> list[Told]:
    """What readers are told of a whole message."""
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    return [(events.MESSAGE_COMPLETED, {"message": number, "text": text})] if text else []


def _reset(number: int, reason: str) -> Told:
    return events.MESSAGE_RESET, {"message": number, "reason": reason}


def _joined(told: Sequence[Told]) -> list[Told]:
    """Neighbouring pieces of the same text as one."""
    joined: list[Told] = []
    for type_, payload in told:
        last = joined[-1] if joined else None
        if last is not None and last[0] == type_ and "text" in payload and last[1]["message"] == payload["message"]:
            joined[-1] = (type_, {**payload, "text": last[1]["text"] + payload["text"]})
        else:
            joined.append((type_, payload))
    return joined
