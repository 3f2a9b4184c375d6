"""Runs the state machines: keys, prompts and sessions, each against a model of dicts and lists."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from tests.fuzz.calls import Calls
from tests.fuzz.keys_machine import KeysMachine
from tests.fuzz.prompts_machine import PromptsMachine
from tests.fuzz.scene import Scene
from tests.fuzz.sessions_machine import SessionsMachine

MACHINES: tuple[type[RuleBasedStateMachine], ...] = (KeysMachine, PromptsMachine, SessionsMachine)


def disproved(scene: Scene, number: int, *, examples: int) -> Iterator[str]:
    """What each machine found in so many examples of 40 steps, as text with the steps that led there."""
    calls = Calls(scene.url, scene.root_key)
    try:
        for machine in MACHINES:
            try:
                run(machine, calls, examples=examples, steps=40, number=number)
            except AssertionError as error:
                yield f"{machine.__name__}\n{''.join(traceback.format_exception(error, limit=-4))}"
    finally:
        calls.close()


def run(machine: type[RuleBasedStateMachine], calls: Calls, *, examples: int, steps: int, number: int | None = None) -> None:
    """Examples of so many steps, without a number always the same. Raises what one found, not cut down: that would take minutes."""
    bound: Any = type(machine.__name__, (machine,), {"calls": calls})
    if number is not None:
        seed(number)(bound)
    # Each step waits for a real gateway and database; hypothesis' own clocks would call that slow.
    unhurried = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=number is None,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(bound, settings=unhurried)
