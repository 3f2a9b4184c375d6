"""The turn: ask the model, call the tools it asks for, until it answers; every step is recorded before the next begins."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from pointsman.approvals.rows import Asking
from pointsman.kit.json_schema import JsonSchema
from pointsman.kit.json_text import unfenced
from pointsman.kit.problems import Problem
from pointsman.llm.port import (
    ModelAnswer,
    ModelCall,
    ModelPort,
    ReasoningDelta,
    Restarted,
    Text,
    TextDelta,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from pointsman.turns.errors import OutputInvalid, TooManySteps
from pointsman.turns.plan import THINK, TurnPlan, TurnState
from pointsman.turns.ports import Recorder, Toolbox, ToolOutcome, Waits

_CORRECTIONS = 2

THINK_SPEC = ToolSpec(
    THINK,
    "Think about the task before you answer: write down one step of your reasoning. Nothing is looked up or changed.",
    {
        "type": "object",
        "properties": {"thought": {"type": "string", "description": "One step of reasoning."}},
        "required": ["thought"],
        "additionalProperties": False,
    },
)


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The answer that ends the turn; its last message is not recorded yet, the caller commits it with the end of the run."""

    answer: ModelAnswer
    text: str
    output: Any = None


@dataclass(frozen=True, slots=True)
class TurnPaused:
    """Calls of the last answer that somebody has to decide about first; all its others are recorded. Nothing is held meanwhile.

    With `waits` there are calls among them that wait for something else.
    """

    asking: tuple[Asking, ...]
    waits: bool


async def run_turn(plan: TurnPlan, state: TurnState, models: ModelPort, toolbox: Toolbox, recorder: Recorder) -> TurnResult | TurnPaused:
    """Drive a turn from wherever its recorded steps stand to its answer, or to where a person has to decide. Raises a Problem."""
    while True:
        if pending := state.pending_calls():
            paused = await _call_tools(pending, plan, state, toolbox, recorder)
            if paused is not None:
                return paused
        if state.model_calls >= plan.max_steps:
            raise TooManySteps(f"No answer after {plan.max_steps} model calls.")
        answer = await _ask(plan, state, models, toolbox, recorder)
        if any(isinstance(part, ToolCall) for part in answer.message.parts):
            await recorder.model_step(answer)
            state.messages.append(answer.message)
            continue
        text = "".join(part.text for part in answer.message.parts if isinstance(part, Text))
        rejection, output = _judge(plan, state, text)
        if rejection is None:
            return TurnResult(answer, text, output)
        recorder.reset("the answer was not accepted")
        note = UserMessage((Text(rejection.complaint),))
        await recorder.model_step(answer, note)
        state.messages += [answer.message, note]
        if rejection.end is not None:
            raise rejection.end


async def _ask(plan: TurnPlan, state: TurnState, models: ModelPort, toolbox: Toolbox, recorder: Recorder) -> ModelAnswer:
    call = _model_call(plan, state, toolbox)
    await recorder.ready()
    await recorder.asking(call)
    if not plan.stream:
        answer = await models.complete(call)
        for part in answer.message.parts:
            if isinstance(part, Text) and part.text:
                recorder.text(part.text)
        return answer
    async with aclosing(models.stream(call)) as items:
        async for item in items:
            match item:
                case TextDelta(text):
                    recorder.text(text)
                case ReasoningDelta(text):
                    recorder.reasoning(text)
                case Restarted(reason):
                    recorder.reset(reason)
                case ModelAnswer():
                    return item
            await recorder.ready()
    message = "a model stream must end with its answer"
    raise AssertionError(message)


def _model_call(plan: TurnPlan, state: TurnState, toolbox: Toolbox) -> ModelCall:
    tools, settings, calls = toolbox.specs, plan.settings, state.model_calls
    if calls and settings.get("tool_choice") == "required":
        # It asks for a tool before the answer; kept up, there would never be an answer.
        settings = settings | {"tool_choice": "auto"}
    if plan.think_most:
        tools = tuple(tool for tool in tools if tool.name != THINK)
    if state.thoughts < plan.think_least:
        tools, settings = (THINK_SPEC,), settings | {"tool_choice": "required"}
    elif state.thoughts < plan.think_most:
        tools = (*tools, THINK_SPEC)
    return ModelCall(
        models=plan.models,
        system=plan.system,
        messages=state.conversation(plan.history),
        tools=tools,
        settings=settings,
        output_schema=plan.output_schema,
        reasoning=plan.reasoning,
        script=plan.script,
        step=calls,
        played=plan.played,
    )


@dataclass(frozen=True, slots=True)
class _Rejection:
    """Why an answer may not stand, told to the model; `end` once it was told often enough."""

    complaint: str
    end: Problem | None


def _judge(plan: TurnPlan, state: TurnState, text: str) -> tuple[_Rejection | None, Any]:
    """Whether the answer may stand: a rejection, or the parsed output."""
    if plan.think_most and state.thoughts < plan.think_least:
        end = TooManySteps(f"The model did not use the {THINK} tool {plan.think_least} times, as the agent requires.")
        complaint = f"Do not answer yet: call the {THINK} tool with the next step of your reasoning."
        return _Rejection(complaint, end if state.corrections >= plan.think_least + _CORRECTIONS else None), None
    if plan.output_schema is None:
        return None, None
    try:
        output = msgspec.json.decode(unfenced(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        wrong = f"it is not JSON ({error})"
    else:
        errors = JsonSchema(plan.output_schema).errors(output)
        if not errors:
            return None, output
        wrong = "; ".join(f"{error.pointer or '/'}: {error.message}" for error in errors)
    end = OutputInvalid(f"The last answer did not match: {wrong}.")
    complaint = f"Your answer does not match the required schema: {wrong}. Answer again with the corrected JSON only."
    return _Rejection(complaint, end if state.corrections >= _CORRECTIONS else None), None


async def _call_tools(calls: list[ToolCall], plan: TurnPlan, state: TurnState, toolbox: Toolbox, recorder: Recorder) -> TurnPaused | None:
    """Make the calls; what has to wait is not made, and returned."""
    allowed = state.allowed_thoughts(plan.think_most)

    async def one(call: ToolCall) -> ToolResult | Asking | Waits:
        if plan.think_most and call.name == THINK:
            outcome = _think(call, allowed=call.id in allowed)
        else:
            outcome = await _call_tool(call, toolbox, None if call.name in plan.untimed else plan.tool_timeout)
        if not isinstance(outcome, ToolOutcome):
            return outcome
        result = ToolResult(call.id, call.name, outcome.content, outcome.is_error)
        await recorder.tool_step(result)
        return result

    tasks = [asyncio.create_task(one(call)) for call in calls]
    try:
        results = await asyncio.gather(*tasks)
    finally:
        # Where one cannot be recorded, the others must not go on behind the turn's back.
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if done := tuple(result for result in results if isinstance(result, ToolResult)):
        state.messages.append(ToolMessage(done))
    asking = tuple(result for result in results if isinstance(result, Asking))
    waits = any(isinstance(result, Waits) for result in results)
    return TurnPaused(asking, waits) if asking or waits else None


async def _call_tool(
    call: ToolCall,
    toolbox: Toolbox,
    timeout: timedelta | None,  # noqa: ASYNC109 - of the tool, not of ours
) -> ToolOutcome | Asking | Waits:
    if call.name not in {spec.name for spec in toolbox.specs}:
        names = ", ".join(spec.name for spec in toolbox.specs) or "none"
        return ToolOutcome(f"There is no tool {call.name!r}. Tools: {names}.", is_error=True)
    try:
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            return await toolbox.call(call)
    except TimeoutError:
        assert timeout is not None
        return ToolOutcome(f"The tool did not return within {timeout.total_seconds():g} s.", is_error=True)
    except Problem as problem:
        return ToolOutcome(problem.detail, is_error=True)


def _think(call: ToolCall, *, allowed: bool) -> ToolOutcome:
    if not allowed:
        return ToolOutcome("You have thought enough: answer now.", is_error=True)
    if not thought_of(call):
        return ToolOutcome('Write your thought: {"thought": "..."}.', is_error=True)
    return ToolOutcome("Noted.")


def thought_of(call: ToolCall) -> str:
    """What the model wrote down with the think tool; empty when its arguments make no sense."""
    try:
        return msgspec.json.decode(call.args, type=dict[str, str]).get("thought", "")
    except (msgspec.DecodeError, UnicodeError):
        return ""
