"""A figure that a measurement compares with its limit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A ratio, or a value whose unit is part of the `name`, and the `limit` that it may not exceed."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """True if the value, as it is printed, is within the limit."""
        return float(self.printed) <= self.limit

    @property
    def printed(self) -> str:
        """The value with at most two decimals."""
        return f"{self.value:.2f}".rstrip("0").rstrip(".") if self.value < 100 else f"{self.value:.0f}"

    def __str__(self) -> str:
        mark = "" if self.met else ", MISSED"
        return f"{self.name} {self.printed} (at most {self.limit:g}{mark})"


def median_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios of values that were measured in the same rounds.

    Other work on the machine affects a whole round, so a ratio within it is steadier than a ratio of two medians.
    """
    return statistics.median(value / other for value, other in zip(values, base, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least `share` of them do not exceed, from 0 to 1."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
