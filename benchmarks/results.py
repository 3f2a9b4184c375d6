"""What a row says: the values of each side, and the marks that the gateway's have to reach."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field

OURS = "pointsman"
_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}
Values = dict[str, float]


@dataclass(frozen=True)
class Mark:
    """A figure of the gateway beside the one it has to reach, and the same figure of the others."""

    what: str
    value: float
    comparison: str
    bound: float
    others: Values = field(default_factory=Values)

    @property
    def passed(self) -> bool:
        return bool(_COMPARISONS[self.comparison](self.value, self.bound))


@dataclass
class Row:
    """One measurement; `sides` are medians by target and value, units in the values' names."""

    name: str
    what: str
    sides: dict[str, Values] = field(default_factory=dict[str, Values])
    marks: list[Mark] = field(default_factory=list[Mark])
    notes: list[str] = field(default_factory=list[str])
    failure: str = ""
    seconds: float = 0.0

    def mark(self, what: str, figure: str | Callable[[Values], float], comparison: str, bound: float, *, side: str = OURS) -> None:
        """Hold a value, or what is computed from a side's values, against its bound."""
        others: Values = {}
        for name, values in self.sides.items():
            try:
                others[name] = values[figure] if isinstance(figure, str) else figure(values)
            except KeyError:  # a side that has no such value
                continue
        self.marks.append(Mark(what, others.pop(side), comparison, bound, others))

    @property
    def passed(self) -> bool:
        return not self.failure and all(mark.passed for mark in self.marks)
