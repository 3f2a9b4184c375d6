from __future__ import annotations

import pytest
from hypothesis.stateful import RuleBasedStateMachine
from tests.fuzz.calls import Calls
from tests.fuzz.machines import MACHINES, run


@pytest.mark.parametrize("machine", MACHINES)
def test_whatever_is_asked_in_whatever_order_is_what_the_model_says(machine: type[RuleBasedStateMachine], calls: Calls) -> None:
    run(machine, calls, examples=12, steps=20)
