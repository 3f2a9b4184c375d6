from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.turns.turn_scene import Crash, Tape, Tools, Turn, calls

from pointsman.kit.problems import Unavailable
from pointsman.llm.errors import ModelUnavailable
from pointsman.llm.port import AssistantMessage, Text, ToolCall, ToolMessage, ToolResult, UserMessage
from pointsman.turns.errors import OutputInvalid, TooManySteps
from pointsman.turns.loop import thought_of
from pointsman.turns.plan import TurnState
from pointsman.turns.ports import ToolOutcome

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_tools_ends_the_turn(stream: bool) -> None:
    turn = Turn([{"text": "It is {message}."}], options={"stream": stream})
    result = await turn.run()
    assert (result.text, result.output) == ("It is hello.", None)
    assert turn.tape.shown == "It is hello."
    assert len(turn.rows) == 1  # the caller commits the last message with the end of the run


async def test_tools_run_at_the_same_time_and_answer_in_the_order_of_their_calls() -> None:
    barrier = asyncio.Barrier(3)
    order: list[str] = []

    async def meet(call: ToolCall) -> ToolOutcome:
        await barrier.wait()  # only all three together get past it
        await asyncio.sleep({"a": 0.03, "b": 0.02, "c": 0.01}[call.name])
        order.append(call.name)
        return ToolOutcome(call.name)

    turn = Turn([calls("a", "b", "c"), {"text": "{tool_result}"}], Tools(("a", "b", "c"), dict.fromkeys("abc", meet)))
    result = await turn.run()
    assert order == ["c", "b", "a"]
    assert result.text == "a\nb\nc"
    again = TurnState([msgspec.json.decode(row, type=UserMessage | AssistantMessage | ToolMessage) for row in turn.rows])
    assert [part.content for message in again.conversation(()) for part in message.parts if isinstance(part, ToolResult)] == ["a", "b", "c"]


async def test_parallel_results_of_an_earlier_turn_stand_in_one_message_too() -> None:
    asked = AssistantMessage((ToolCall("1", "a", "{}"), ToolCall("2", "b", "{}")))
    results = [ToolMessage((ToolResult(name, "x", name),)) for name in ("2", "1")]
    history = (UserMessage((Text("before"),)), asked, *results, AssistantMessage((Text("so it is"),)))
    turn = Turn([{"text": "ok"}], options={"history": history})
    await turn.run()
    [call] = turn.models.asked
    assert [type(message).__name__ for message in call.messages] == [
        *("UserMessage", "AssistantMessage", "ToolMessage", "AssistantMessage", "UserMessage")
    ]
    assert [part.id for part in call.messages[2].parts if isinstance(part, ToolResult)] == ["1", "2"]


async def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    turn = Turn([calls("nonsense"), {"text": "{tool_result}"}])
    assert (await turn.run()).text == "There is no tool 'nonsense'. Tools: look, count."
    assert [result.is_error for result in turn.results()] == [True]
    bare = Turn([calls("nonsense"), {"text": "{tool_result}"}], Tools(()))
    assert (await bare.run()).text == "There is no tool 'nonsense'. Tools: none."


async def test_a_problem_of_a_tool_is_told_to_the_model() -> None:
    async def fails(call: ToolCall) -> ToolOutcome:
        raise Unavailable(f"{call.name} is out of order")

    turn = Turn([calls("look", "count"), {"text": "{tool_result}"}], Tools(handlers={"look": fails}))
    assert (await turn.run()).text.splitlines() == ["look is out of order", "count {}"]
    assert [result.is_error for result in turn.results()] == [True, False]


async def test_a_tool_that_does_not_return_is_given_up() -> None:
    ended: list[str] = []

    async def sleeps(call: ToolCall) -> ToolOutcome:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(call.name)
        return ToolOutcome("never")

    tools = Tools(handlers={"look": sleeps})
    turn = Turn([calls("look", "count"), {"text": "{tool_result}"}], tools, options={"tool_timeout": timedelta(milliseconds=50)})
    assert (await turn.run()).text.splitlines() == ["The tool did not return within 0.05 s.", "count {}"]
    assert ended == ["look"]


@pytest.mark.parametrize("cancel", [False, True], ids=["one tool is defective", "the turn is cancelled"])
async def test_no_tool_goes_on_once_the_turn_is_over(cancel: bool) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def sleeps(call: ToolCall) -> ToolOutcome:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ToolOutcome(call.name)

    async def breaks(call: ToolCall) -> ToolOutcome:
        await begun.wait()
        if cancel:
            await asyncio.sleep(60)
        raise KeyError(call.name)

    turn = Turn([calls("look", "count")], Tools(handlers={"look": sleeps, "count": breaks}))
    task = asyncio.create_task(turn.run())
    await begun.wait()
    if cancel:
        task.cancel()
    with pytest.raises(asyncio.CancelledError if cancel else KeyError):
        await task
    assert ended.is_set()


async def test_a_failing_model_ends_the_turn_with_its_problem() -> None:
    turn = Turn([calls("look"), {"error": {"kind": "unavailable"}}])
    with pytest.raises(ModelUnavailable):
        await turn.run()
    assert len(turn.rows) == 3  # the user's, the call and its result are recorded all the same


async def test_a_fallback_makes_the_text_before_it_void() -> None:
    turn = Turn([{"error": {"kind": "unavailable", "after_text": "half an"}}], options={"models": ("scripted:play", "scripted:echo")})
    assert (await turn.run()).text == "hello"
    assert turn.tape.shown == "hello"
    assert "reset" in dict(turn.tape.told)


async def test_a_model_that_only_calls_tools_is_stopped() -> None:
    turn = Turn([calls("look")] * 9, options={"max_steps": 4})
    with pytest.raises(TooManySteps, match="4 model calls"):
        await turn.run()
    assert (len(turn.models.asked), len(turn.tools.called)) == (4, 4)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_required_tool_is_required_before_the_first_answer_only(stream: bool) -> None:
    turn = Turn([calls("look"), calls("count"), {"text": "done"}], options={"settings": {"tool_choice": "required"}, "stream": stream})
    assert (await turn.run()).text == "done"
    assert [call.settings["tool_choice"] for call in turn.models.asked] == ["required", "auto", "auto"]
    kept = Turn([calls("look"), {"text": "done"}], options={"settings": {"tool_choice": "none", "temperature": 0}})
    await kept.run()
    assert [call.settings for call in kept.models.asked] == [{"tool_choice": "none", "temperature": 0}] * 2


async def test_the_script_goes_on_where_the_session_stood() -> None:
    turn = Turn([{"text": "first"}, {"text": "second"}], options={"played": 1})
    assert (await turn.run()).text == "second"


# --- structured output


@pytest.mark.parametrize(
    "text", ['{"n": 1}', ' {"n": 1}\n', '```json\n{"n": 1}\n```', '```\n{"n": 1}\n```', '  ```json {"n": 1}```  ', '```JSON\n{"n": 1}\n```']
)
async def test_structured_output_is_read_with_or_without_a_fence(text: str) -> None:
    turn = Turn([{"text": text}], options={"output_schema": SCHEMA})
    result = await turn.run()
    assert (result.output, result.text) == ({"n": 1}, text)
    assert [call.output_schema for call in turn.models.asked] == [SCHEMA]


BAD = ["not json", '{"n": "x"}', "{}", '{"n": 1, "m": 2}', '["n", 1]', '{"n": 1} and more', "```", "[" * 5000, "", "{\ud83d"]


@pytest.mark.parametrize("bad", BAD, ids=lambda text: repr(text[:20]))
@pytest.mark.parametrize("times", [1, 2])
async def test_output_that_does_not_match_is_repaired(bad: str, times: int) -> None:
    turn = Turn([{"text": bad}] * times + [{"output": {"n": 7}}], options={"output_schema": SCHEMA})
    result = await turn.run()
    assert result.output == {"n": 7}
    assert turn.tape.shown == '{"n":7}'
    notes = [
        message.parts[0].text
        for message in turn.state.messages[1:]
        if isinstance(message, UserMessage) and isinstance(message.parts[0], Text)
    ]
    assert len(notes) == times
    assert all(note.startswith("Your answer does not match the required schema: ") and len(note) < 1000 for note in notes)


async def test_output_that_never_matches_ends_the_turn_and_every_call_is_recorded() -> None:
    turn = Turn([{"text": '{"n": "x"}'}], options={"output_schema": SCHEMA})
    with pytest.raises(OutputInvalid, match="/n: "):
        await turn.run()
    assert len(turn.models.asked) == 3
    assert sum(b'"role":"assistant"' in row for row in turn.rows) == 3


async def test_a_huge_wrong_answer_is_not_repeated_in_the_problem() -> None:
    turn = Turn([{"text": msgspec.json.encode({"n": "x" * 100_000}).decode()}], options={"output_schema": SCHEMA})
    with pytest.raises(OutputInvalid) as refused:
        await turn.run()
    assert len(refused.value.detail) < 1000


# --- thinking


def thinking(least: int, most: int, **options: Any) -> dict[str, Any]:
    return {"think_least": least, "think_most": most, **options}


def thought(text: str = "hm") -> dict[str, Any]:
    return calls("think", thought=text)


async def test_the_model_thinks_before_it_may_do_anything_else() -> None:
    turn = Turn([thought("one"), thought("two"), calls("look"), {"text": "done"}], options=thinking(2, 3))
    assert (await turn.run()).text == "done"
    offered = [[tool.name for tool in call.tools] for call in turn.models.asked]
    assert offered == [["think"], ["think"], ["look", "count", "think"], ["look", "count", "think"]]
    assert [call.settings.get("tool_choice") for call in turn.models.asked] == ["required", "required", None, None]
    assert turn.state.thoughts == 2


async def test_thinking_is_not_offered_beyond_its_maximum() -> None:
    turn = Turn([thought(), thought(), {"text": "done"}], Tools(("look", "think")), options=thinking(0, 2))
    await turn.run()
    offered = [[tool.name for tool in call.tools] for call in turn.models.asked]
    assert offered == [["look", "think"], ["look", "think"], ["look"]]  # and never twice, though the agent lists it as well


@pytest.mark.parametrize("together", [True, False])
async def test_a_model_that_ignores_the_maximum_is_told_to_answer(together: bool) -> None:
    turns = [calls(*["think"] * 4, thought="x")] if together else [thought()] * 4
    turn = Turn([*turns, {"text": "done"}], options=thinking(0, 2))
    assert (await turn.run()).text == "done"
    assert [result.is_error for result in turn.results()] == [False, False, True, True]
    assert turn.results()[-1].content == "You have thought enough: answer now."
    assert turn.state.thoughts == 2


async def test_a_model_that_ignores_the_minimum_is_reminded() -> None:
    turn = Turn([{"text": "at once"}, thought(), {"text": "done"}], options=thinking(1, 3))
    assert (await turn.run()).text == "done"
    assert turn.tape.shown == "done"
    assert b"call the think tool" in turn.rows[2]


async def test_a_model_that_never_thinks_does_not_get_away_with_it() -> None:
    turn = Turn([{"text": "at once"}], options=thinking(1, 3))
    with pytest.raises(TooManySteps, match="think tool 1 times"):
        await turn.run()
    assert len(turn.models.asked) == 4


@pytest.mark.parametrize("args", [{}, {"thought": ""}, {"thought": 7}, {"idea": "x"}])
async def test_a_thought_without_words_is_no_thought(args: dict[str, Any]) -> None:
    turn = Turn([calls("think", **args), thought(), {"text": "done"}], options=thinking(1, 3))
    await turn.run()
    assert [result.is_error for result in turn.results()] == [True, False]
    assert [tool.name for tool in turn.models.asked[1].tools] == ["think"]


@pytest.mark.parametrize(
    "args", ["", "{", "null", "[" * 3000, '"x"', '{"thought": "\ud83d"}', '{"thought": "\\ud83d"}', '{"thought": null}']
)
def test_arguments_that_make_no_sense_are_no_thought(args: str) -> None:
    assert thought_of(ToolCall("1", "think", args)) == ""


async def test_schema_and_thinking_go_together() -> None:
    turn = Turn([thought(), {"text": "no"}, {"output": {"n": 1}}], options=thinking(1, 1, output_schema=SCHEMA))
    assert (await turn.run()).output == {"n": 1}


# --- the record


async def test_nothing_goes_on_before_a_step_is_recorded() -> None:
    turn = Turn([calls("look"), {"text": "done"}])
    turn.tape = Tape(turn.rows, crash_after=0)
    with pytest.raises(Crash):
        await turn.run()
    assert (turn.tools.called, len(turn.models.asked)) == ([], 1)
    turn = Turn([calls("look"), {"text": "done"}])
    turn.tape = Tape(turn.rows, crash_after=1)
    with suppress(Crash):
        await turn.run()
    assert (turn.tools.called, len(turn.models.asked)) == (["call_0_0"], 1)
