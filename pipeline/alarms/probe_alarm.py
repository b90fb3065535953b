"""The alarm on the measurements of a command or of a query of Prometheus."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.alarms.condition import CommandCondition, PromqlCondition
from pipeline.alarms.verdict import Verdict


@dataclass(frozen=True)
class Measurement:
    """The exit code of a command, or the result of a query. `error`: why there is no value."""

    value: float | None = None
    error: str = ""


class ProbeAlarm:
    """Counts the measurements in a row that breach. One without a value neither breaches nor ends a row."""

    def __init__(self, condition: CommandCondition | PromqlCondition) -> None:
        self._condition = condition
        self._in_a_row = 0
        self._latest: Measurement | None = None

    def add(self, measurement: Measurement) -> None:
        """Take a measurement."""
        self._latest = measurement
        if measurement.value is not None and not math.isnan(measurement.value):
            self._in_a_row = self._in_a_row + 1 if self._breaches(measurement.value) else 0

    def verdict(self) -> Verdict:
        """Return the verdict on all measurements so far."""
        wanted = self._condition.datapoints_to_alarm
        if self._in_a_row >= wanted:
            row = "" if wanted == 1 else f", {self._in_a_row} times in a row"
            return Verdict("ALARM", f"{self._words()}{row}")
        latest = self._latest
        if latest is None or latest.value is None or math.isnan(latest.value):
            reason = "not measured yet" if latest is None else f"not measured, {latest.error or 'no number'}"
            return Verdict("INSUFFICIENT_DATA", f"{self._condition.describe()}: {reason}")
        return Verdict("OK", self._words())

    def _breaches(self, value: float) -> bool:
        if isinstance(self._condition, CommandCondition):
            return value != 0
        above, below = self._condition.above, self._condition.below
        return (above is not None and value > above) or (below is not None and value < below)

    def _words(self) -> str:
        value = self._latest.value if self._latest and self._latest.value is not None else math.nan
        result = f"exit code {value:g}" if isinstance(self._condition, CommandCondition) else f"{value:g}"
        return f"{self._condition.describe()}: {result}"
