"""Driving one opened run: it records each step, tells the readers, and brings the run to exactly one end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import msgspec
import structlog

from pointsman.approvals.rows import Asking
from pointsman.chat.facts import Outcome, RunFacts, Spent, together
from pointsman.chat.journal import Entry, Journal, NewMessage, Status
from pointsman.chat.pausing import Paused, Pausing, pause
from pointsman.chat.schemas import ChatAnswer, TeamAnswer
from pointsman.kit.db import Database
from pointsman.kit.problems import InternalProblem, Problem, Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.llm.errors import ModelProblem
from pointsman.llm.estimates import estimate
from pointsman.llm.port import (
    AssistantMessage,
    Message,
    ModelAnswer,
    ModelCall,
    Spend,
    Text,
    ToolCall,
    ToolMessage,
    ToolResult,
    UserMessage,
)
from pointsman.runs import events
from pointsman.runs.events import encode_json
from pointsman.runs.live import BLOCK, LiveRun
from pointsman.runs.pace import Pace
from pointsman.turns.loop import TurnResult, thought_of
from pointsman.turns.plan import THINK, TurnState
from pointsman.usage.cost import cost_of
from pointsman.usage.ledger import UsageRow

log = structlog.get_logger()

_AWAY_PAUSE = 0.2


class TakenOver(Exception):  # noqa: N818 - it is no error of this process
    """Another replica owns the run now; nothing more may be written or said here."""


class Dependents(Protocol):
    """What members of a team do for its run."""

    async def settle(self, run_id: str) -> dict[str, Spent]:
        """End what they still do, and wait for it: what all of them have spent, by agent."""
        ...

    async def spent(self, run_id: str) -> dict[str, Spent]:
        """What they have spent so far."""
        ...


class Drive:
    """The recorder of one run's turn, and its end."""

    def __init__(
        self,
        facts: RunFacts,
        live: LiveRun,
        pace: Pace,
        journal: Journal,
        metrics: Metrics,
        *,
        state: TurnState,
        spent: Spent,
        position: int,
        members: Dependents,
    ) -> None:
        """Take a run over from its opening or its rows; `position` is the number of message rows it has already."""
        self.facts = facts
        self.live = live
        self.done: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self.cancel_requested = False
        self._partial: list[str] = []  # text of the message at hand, for a run that is cancelled or fails in the middle
        self._pace = pace
        self._journal = journal
        self._metrics = metrics
        self.state = state
        self._spent = spent
        self._position = position
        self._members = members
        self._members_spent: dict[str, Spent] = {}
        self._model = facts.model
        self._asked: ModelCall | None = None
        self._asked_at = 0.0
        self._cut_off: str | None = None
        self._end_instead: Problem | asyncio.CancelledError | None = None

    def resume(
        self,
        messages: list[Message],
        spent: Spent,
        model: str,
        *,
        paused: bool,
        interrupted: str | None,
        end_instead: Problem | asyncio.CancelledError | None,
    ) -> None:
        """Go on from recorded messages, `interrupted` being what had been sent of a message, which is void now; None: nobody drove the run.

        After a pause (`paused`) nothing is void. With `end_instead` the run is only taken over to be ended: that is raised in place of
        asking a model again.
        """
        self.state.messages = messages
        self._spent = spent
        self._position = len(messages)
        self._model = model
        if not paused:
            self.reset("the replica that drove the run died")
        if self.state.pending_calls():  # it died amid tools, not while a model was asked
            if end_instead is not None:
                raise end_instead
        else:
            self._cut_off, self._end_instead = interrupted, end_instead

    async def asking(self, call: ModelCall) -> None:
        if self._cut_off is not None:
            await self._count_cut_off(call, self._cut_off)
        if self._end_instead is not None:
            raise self._end_instead
        self._asked, self._asked_at = call, time.monotonic()

    def text(self, text: str) -> None:
        self._partial.append(text)
        self._pace.say(self.live, events.MESSAGE_DELTA, self.state.model_calls, text)

    def reasoning(self, text: str) -> None:
        self._pace.say(self.live, events.REASONING_DELTA, self.state.model_calls, text)

    def reset(self, reason: str) -> None:
        self._partial.clear()
        self._pace.forget(self.live)
        self.live.emit(events.MESSAGE_RESET, {"message": self.state.model_calls, "reason": reason})

    async def ready(self) -> None:
        """Reserve the next block of event ids before the present one is used up."""
        live = self.live
        if live.reserved - live.next_seq < BLOCK // 4:
            reserve = live.reserved + BLOCK
            await self._enter(reserve=reserve)
            live.reserved = reserve

    async def model_step(self, answer: ModelAnswer, note: UserMessage | None = None) -> None:
        self._asked = None
        self._model = answer.message.model or self._model
        messages: list[Message] = [answer.message] if note is None else [answer.message, note]
        usages = self._count(answer.spent)
        told: list[tuple[str, dict[str, Any]]] = []
        if note is None:
            told += _said(answer.message, self.state.model_calls)
        told += [(events.USAGE_RECORDED, usage.event()) for usage in usages]
        told += [_called(part) for part in answer.message.parts if isinstance(part, ToolCall)]
        self._partial.clear()
        await self._enter(messages=messages, usages=usages, told=told)

    async def tool_step(self, result: ToolResult) -> None:
        told: list[tuple[str, dict[str, Any]]] = []
        if result.name != THINK:
            payload = {"id": result.id, "name": result.name, "is_error": result.is_error, "content": result.content}
            told.append((events.TOOL_COMPLETED, payload))
        await self._enter(messages=[ToolMessage((result,))], told=told)

    async def relay(self, type_: str, payload: dict[str, Any]) -> None:
        """Send what a member says now, store it soon."""
        await self.ready()
        # Members speak while another's step is being committed, whose events have lower ids and are sent after that.
        async with self.live.step_lock:
            self.live.emit(type_, payload)

    async def relay_committed(self, told: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Commit what a member did, then send it."""
        await self.ready()
        await self._enter(told=told)

    async def complete(self, result: TurnResult) -> None:
        """The turn came to its answer."""
        answer = result.answer
        self._asked = None
        self._model = answer.message.model or self._model
        usages = self._count(answer.spent)
        await self._settle()
        body = self._answer("completed", result.text, result.output)
        told = _said(answer.message, self.state.model_calls) + [(events.USAGE_RECORDED, usage.event()) for usage in usages]
        await self._end("completed", body, messages=[answer.message], usages=usages, told=[*told, (events.RUN_COMPLETED, _builtins(body))])

    async def fail(self, problem: Problem) -> None:
        """The turn cannot come to an answer; what was consumed is counted all the same."""
        usages = self._count(problem.spent if isinstance(problem, ModelProblem) else self._interrupted())
        await self._settle()
        body = self._answer("failed", "".join(self._partial))
        described = problem.describe()
        told = [(events.USAGE_RECORDED, usage.event()) for usage in usages]
        told.append((events.RUN_FAILED, {**_builtins(body), "error": described}))
        await self._end("failed", body, usages=usages, told=told, error=described, problem=problem)

    async def cancel(self) -> None:
        """Somebody asked for it; a model call that was under way is counted by estimate, since its provider will not report it."""
        usages = self._count(self._interrupted())
        await self._settle()
        body = self._answer("cancelled", "".join(self._partial))
        told = [(events.USAGE_RECORDED, usage.event()) for usage in usages]
        await self._end("cancelled", body, usages=usages, told=[*told, (events.RUN_CANCELLED, _builtins(body))])

    async def pause(self, asking: tuple[Asking, ...], db: Database, ttl: timedelta) -> bool:
        """The turn waits for decisions: this process lets go of it. Raises CancelledError where somebody cancelled the run before.

        False where nothing was asked, and what the turn waited for has gone on meanwhile.
        """
        if self.facts.team_id is not None:
            self._members_spent = await self._members.spent(self.facts.id)
        paused = await asyncio.shield(asyncio.ensure_future(self._pause(asking, db, ttl)))
        if self.cancel_requested:
            raise asyncio.CancelledError
        return paused

    async def _pause(self, asking: tuple[Asking, ...], db: Database, ttl: timedelta) -> bool:
        live, said = self.live, self.state.last_text()

        def body(approvals: Sequence[dict[str, Any]]) -> bytes:
            return encode_json(self._answer("paused", said, approvals=tuple(approvals)))

        async with live.step_lock:
            while live.flushing is not None:
                await asyncio.shield(live.flushing)
            self._pace.release(live)
            sent = live.take_pending()
            pausing = Pausing(self.facts.id, live.epoch, asking, tuple(sent), live.next_seq, body, ttl)
            paused, answer = await _patiently(db, pausing)
            if paused in {"cancelled", "moot"}:  # nothing was written
                live.give_back(sent)
        if paused == "lost":
            raise TakenOver(self.facts.id)
        self.cancel_requested = self.cancel_requested or paused == "cancelled"
        if paused == "paused" and not self.done.done():
            self.done.set_result(Outcome("paused", answer))
        return paused == "paused"

    async def _settle(self) -> None:
        if self.facts.team_id is not None:
            self._members_spent = await self._members.settle(self.facts.id)

    def abandon(self) -> None:
        """Let readers go on from the database."""
        self._pace.forget(self.live)
        self.live.abandon()
        if not self.done.done():
            self.done.set_result(None)

    def _interrupted(self) -> list[Spend]:
        if self._asked is None:
            return []
        latency_ms = int((time.monotonic() - self._asked_at) * 1000)
        return [Spend(self._asked.models[0], estimate(self._asked, sum(map(len, self._partial))), latency_ms)]

    async def _count_cut_off(self, call: ModelCall, text: str) -> None:
        """Record by estimate the call amid which the run's former replica died, whose provider will never report it to us.

        At once, and also where no text of it was stored: whoever takes the run over next sees only what is recorded. A replica that
        died in the instant between its last record and the call is counted one call too many; that errs to the side of the bill.
        """
        self._cut_off = None
        usages = self._count([Spend(call.models[0], estimate(call, len(text)), 0)])
        await self._enter(usages=usages, told=[(events.USAGE_RECORDED, usage.event()) for usage in usages])

    def _count(self, spent: Sequence[Spend]) -> list[UsageRow]:
        rows: list[UsageRow] = []
        for spend in spent:
            facts, cost = self.facts, cost_of(spend.model, spend.usage)
            rows.append(
                UsageRow(
                    run_id=facts.id,
                    call=self._spent.calls,
                    agent_id=facts.agent_id,
                    session_id=facts.billed_session,
                    user_id=facts.user_id,
                    key_id=facts.key_id,
                    tenant_id=facts.tenant_id,
                    spend=spend,
                    cost=cost,
                )
            )
            self._spent.add(spend, cost)
            self._measure(spend)
        return rows

    def _measure(self, spend: Spend) -> None:
        outcome = "interrupted" if spend.usage.is_estimated else "answered"
        self._metrics.model_call(spend.model.partition(":")[0], outcome, spend.latency_ms / 1000)
        self._metrics.tokens(spend.usage.prompt_tokens, spend.usage.completion_tokens)

    def _answer(self, status: Status, content: str, output: Any = None, approvals: tuple[dict[str, Any], ...] = ()) -> ChatAnswer:
        facts = self.facts
        assert status != "running"
        if facts.team_id is None:
            return ChatAnswer(
                facts.id, facts.session_id, facts.agent_id, self._model, status, content, output, self._spent.read(), approvals
            )
        return TeamAnswer(
            run_id=facts.id,
            session_id=facts.session_id,
            agent_id=facts.agent_id,
            model=self._model,
            status=status,
            content=content,
            output=output,
            usage=together({facts.agent_id: self._spent, **self._members_spent}),
            approvals=approvals,
            team_id=facts.team_id,
        )

    async def _end(
        self,
        status: Status,
        answer: ChatAnswer,
        *,
        messages: Sequence[Message] = (),
        usages: Sequence[UsageRow] = (),
        told: Sequence[tuple[str, dict[str, Any]]],
        error: dict[str, Any] | None = None,
        problem: Problem | None = None,
    ) -> None:
        body = encode_json(answer)
        await self._enter(
            status=status,
            messages=messages,
            usages=usages,
            told=told,
            error=None if error is None else encode_json(error).decode(),
            outcome=Outcome(status, body, problem),
        )

    async def _enter(
        self,
        *,
        status: Status = "running",
        messages: Sequence[Message] = (),
        usages: Sequence[UsageRow] = (),
        told: Sequence[tuple[str, dict[str, Any]]] = (),
        error: str | None = None,
        outcome: Outcome | None = None,
        reserve: int = 0,
    ) -> None:
        """Commit and publish in one go: a cancelled turn must not lose what was committed, nor say what was not."""

        async def commit() -> None:
            live = self.live
            async with live.step_lock:
                while live.flushing is not None:
                    await asyncio.shield(live.flushing)
                if live.ended:  # its end was on the way when it was cancelled
                    return
                self._pace.release(live)
                new = [live.prepare(type_, payload) for type_, payload in told]
                sent = live.take_pending()
                entry = Entry(
                    run_id=self.facts.id,
                    epoch=live.epoch,
                    tenant_id=self.facts.tenant_id,
                    session_id=self.facts.session_id,
                    status=status,
                    messages=self._rows(messages),
                    usages=tuple(usages),
                    events=(*sent, *new),
                    result=outcome.body.decode() if outcome else None,
                    error=error,
                    reserve=reserve,
                )
                if not await self._journal.enter(entry):
                    raise TakenOver(self.facts.id)
                live.publish(new)
                if sent:
                    live.stored(sent[-1].seq)
                if outcome is not None and not self.done.done():
                    self.done.set_result(outcome)

        await asyncio.shield(asyncio.ensure_future(commit()))

    def _rows(self, messages: Sequence[Message]) -> tuple[NewMessage, ...]:
        rows: list[NewMessage] = []
        for message in messages:
            role = message.__struct_config__.tag
            rows.append(NewMessage(self._position, str(role), encode_json(message).decode()))
            self._position += 1
        return tuple(rows)


async def _patiently(db: Database, pausing: Pausing) -> tuple[Paused, bytes]:
    while True:
        try:
            return await pause(db, pausing)
        except Unavailable:
            await asyncio.sleep(_AWAY_PAUSE)


def defect(error: Exception) -> Problem:
    """What a run's readers are told about an error of ours; the log has the rest."""
    log.error("run.defect", exc_info=error)
    return InternalProblem("The run ended with an unexpected error.", hint="The gateway's log has the details under the run's id.")


def _said(message: AssistantMessage, number: int) -> list[tuple[str, dict[str, Any]]]:
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    return [(events.MESSAGE_COMPLETED, {"message": number, "text": text})] if text else []


def _called(call: ToolCall) -> tuple[str, dict[str, Any]]:
    if call.name == THINK:
        return events.REASONING_DELTA, {"text": thought_of(call)}
    return events.TOOL_CALLED, {"id": call.id, "name": call.name, "args": call.args}


def _builtins(answer: ChatAnswer) -> dict[str, Any]:
    """The answer without the run's id, which every event has."""
    fields: dict[str, Any] = msgspec.to_builtins(answer)
    del fields["run_id"]
    return fields
