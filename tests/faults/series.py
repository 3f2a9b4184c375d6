"""Measurements over time, and whether they stay flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

Point = tuple[float, float]


@dataclass
class Series:
    """One quantity: points of a time (or a count) and a value, in order."""

    name: str
    unit: str
    points: list[Point] = field(default_factory=list[Point])

    def add(self, at: float, value: float) -> None:
        self.points.append((at, value))

    def since(self, at: float) -> Series:
        """What was measured from then on."""
        return Series(self.name, self.unit, [point for point in self.points if point[0] >= at])

    @property
    def slope(self) -> float:
        """How much it grows by the unit of the points' first number, by least squares."""
        return slope(self.points)

    @property
    def per_hour(self) -> float:
        """The same where the points' first number is in seconds."""
        return self.slope * 3600

    @property
    def growth(self) -> float:
        """The median of its last tenth less that of its first tenth: what is left when single peaks do not count."""
        values = [value for _, value in self.points]
        few = max(1, len(values) // 10)
        return median(values[-few:]) - median(values[:few]) if values else 0.0


def slope(points: Sequence[Point]) -> float:
    """Of the straight line through the points with the least squares; 0 for fewer than two."""
    count = len(points)
    if count < 2:
        return 0.0
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
