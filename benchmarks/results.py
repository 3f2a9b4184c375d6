"""What a row says: the values of each side, and the marks that the gateway's have to reach."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Mark:
    """A figure of the gateway beside the one it has to reach."""

    what: str
    value: float
    comparison: str
    bound: float

    @property
    def passed(self) -> bool:
        return bool(_COMPARISONS[self.comparison](self.value, self.bound))


@dataclass
class Row:
    """One measurement; `sides` are medians by target and value, units in the values' names."""

    name: str
    what: str
    sides: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    marks: list[Mark] = field(default_factory=list[Mark])
    notes: list[str] = field(default_factory=list[str])
    failure: str = ""
    seconds: float = 0.0

    def mark(self, what: str, value: float, comparison: str, bound: float) -> None:
        """Hold a figure against its bound."""
        self.marks.append(Mark(what, value, comparison, bound))

    @property
    def passed(self) -> bool:
        return not self.failure and all(mark.passed for mark in self.marks)
