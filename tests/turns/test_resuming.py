from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.turns.turn_scene import Crash, Tape, Turn

from pointsman.llm.port import ToolMessage
from pointsman.turns.loop import TurnResult

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CALL = st.fixed_dictionaries(
    {"name": st.sampled_from(["look", "count", "unknown"]), "args": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 99))}
)
THOUGHT = st.fixed_dictionaries({"name": st.just("think"), "args": st.fixed_dictionaries({"thought": st.text("abc", max_size=3)})})
STEP = st.fixed_dictionaries(
    {"tool_calls": st.lists(CALL, min_size=1, max_size=4)}, optional={"text": st.just("let me see: {tool_result}")}
)


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A script and the options of its plan; the script comes to an answer."""
    steps: list[dict[str, Any]] = draw(st.lists(STEP, max_size=4))
    options: dict[str, Any] = {"stream": draw(st.booleans())}
    if draw(st.booleans()):
        options |= {"think_least": draw(st.integers(0, 1)), "think_most": draw(st.integers(1, 3))}
        thought = {"tool_calls": [{"name": "think", "args": {"thought": "first"}}]}
        steps = [thought, *steps, {"tool_calls": draw(st.lists(THOUGHT | CALL, min_size=1, max_size=4))}]
    if draw(st.booleans()):
        options["output_schema"] = SCHEMA
        return [*steps, *[{"text": "no json"}] * draw(st.integers(0, 2)), {"output": {"n": 7, "of": "{tool_result}"}}], options
    return [*steps, {"text": "so: {tool_result} {history}"}], options


async def finished(turn: Turn) -> tuple[TurnResult, list[Any]]:
    """The answer and everything that the model would be shown afterwards."""
    result = await turn.run()
    answer = msgspec.structs.replace(result.answer, spent=())
    return TurnResult(answer, result.text, result.output), msgspec.to_builtins(turn.state.conversation(()))


@settings(max_examples=60, deadline=None)
@given(turns())
def test_a_turn_goes_on_from_any_recorded_step_to_the_same_end(drawn: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    asyncio.run(_goes_on_from_any_step(*drawn))


async def _goes_on_from_any_step(script: list[dict[str, Any]], options: dict[str, Any]) -> None:
    whole = Turn(script, options=options)
    end = await finished(whole)
    for known in range(1, len(whole.rows) + 1):
        if known < len(whole.rows) and b'"role":"user"' in whole.rows[known]:
            continue  # a rejected answer and the note about it are one step
        again = whole.resumed(known)
        assert await finished(again) == end
        assert not _recorded(whole.rows[:known]) & set(again.tools.called)
        assert len(again.tools.called) == len(set(again.tools.called))
        assert sorted(again.rows) == sorted(whole.rows)


def _recorded(rows: list[bytes]) -> set[str]:
    messages = [msgspec.json.decode(row, type=ToolMessage) for row in rows if b'"role":"tool"' in row]
    return {part.id for message in messages for part in message.parts}


@settings(max_examples=40, deadline=None)
@given(turns(), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_a_turn_survives_any_number_of_crashes(drawn: tuple[list[dict[str, Any]], dict[str, Any]], crashes: list[int]) -> None:
    asyncio.run(_survives(*drawn, crashes))


async def _survives(script: list[dict[str, Any]], options: dict[str, Any], crashes: list[int]) -> None:
    whole = Turn(script, options=options)
    end = await finished(whole)
    rows = whole.rows[:1]
    for steps in crashes:
        crashing = Turn(script, rows=rows, options=options)
        crashing.tape = Tape(crashing.rows, crash_after=steps)
        try:
            assert await finished(crashing) == end
        except Crash:
            rows = crashing.rows
        else:
            return
    assert await finished(Turn(script, rows=rows, options=options)) == end
