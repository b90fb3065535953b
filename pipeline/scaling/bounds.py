"""The bounds of the number of replicas at a point in time, after the scheduled actions (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cronsim import CronSim

from pipeline.scaling.policy import ScalingPolicy, ScheduledAction


@dataclass(frozen=True, slots=True)
class Bounds:
    """The smallest and the largest number of replicas."""

    least: int
    most: int

    def limit(self, count: int) -> int:
        """Return the number within the bounds that is nearest to `count`."""
        return max(self.least, min(count, self.most))


def bounds_at(policy: ScalingPolicy, local: datetime) -> Bounds:
    """Return the bounds in force. `local` has a time zone, which is that of the cron expressions.

    Each bound is that of the action that set it last, so nothing has to be stored, and a daemon that was down at the
    time of an action applies it later. Of actions of the same minute, the last one in the file applies.
    """
    least, most = policy.min, policy.max
    minute = local.replace(second=0, microsecond=0)
    for action in _in_order_of_time(policy.schedule, minute):
        least = least if action.min is None else action.min
        most = most if action.max is None else action.max
    return Bounds(least, most)


# The bounds are the same for a whole minute, and the search back through rare expressions is slow.
@lru_cache(maxsize=64)
def _in_order_of_time(schedule: tuple[ScheduledAction, ...], minute: datetime) -> tuple[ScheduledAction, ...]:
    times = ((_last_time(action.cron, minute), place) for place, action in enumerate(schedule))
    passed = sorted((time, place) for time, place in times if time is not None)
    return tuple(schedule[place] for _, place in passed)


def _last_time(cron: str, minute: datetime) -> float | None:
    """Return the last time of an expression up to the end of a minute, or None if it never was."""
    # Cronsim starts before the given minute, so it gets the next one.
    last = next(CronSim(cron, minute + timedelta(minutes=1), reverse=True), None)
    return None if last is None else last.timestamp()
