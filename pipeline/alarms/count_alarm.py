"""The alarm on a number, such as that of restarts."""

from __future__ import annotations

from pipeline.alarms.condition import CountCondition
from pipeline.alarms.verdict import AlarmState, Verdict
from pipeline.alarms.window import ReleaseWindow


class CountAlarm:
    """A number of the new release, compared with its limit. No statistics: each of them is a fault by itself."""

    compares = False

    def __init__(self, condition: CountCondition) -> None:
        self._condition = condition
        self._count = 0

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> None:  # noqa: ARG002
        """Take a window."""
        if self._condition.metric == "unhealthy_targets":
            self._count = new.unhealthy_targets
        elif self._condition.metric == "restarts":
            self._count += new.restarts
        else:
            self._count += new.connection_errors

    def verdict(self) -> Verdict:
        """Return the verdict on all windows so far."""
        state: AlarmState = "ALARM" if self._count > self._condition.above else "OK"
        return Verdict(state, f"{self._condition.describe()}: {self._count:,}")
