"""How often a remote repository is asked whether it has something new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

LONGEST = timedelta(minutes=15)
"""The longest wait that failures lead to, before its jitter; an interval that is longer stays as it is."""
JITTER = 0.1
"""How far a wait may be off, either way, as a share of it: so that many who started together do not ask together."""
# Past this the wait is the longest whatever the interval; a float must not overflow meanwhile.
_MOST_DOUBLINGS = 64


@dataclass(frozen=True)
class Pace:
    """The pace at which to ask: `interval` while it goes well, twice as long with each failure in a row."""

    interval: timedelta
    failures: int = 0

    def after(self, *, succeeded: bool) -> Pace:
        """The pace once it was asked again: a success makes it the first again."""
        return replace(self, failures=0 if succeeded else self.failures + 1)

    def wait(self, random: Callable[[], float]) -> timedelta:
        """How long to wait now. `random` gives numbers from 0 to 1, as `random.random` does."""
        usual = self.interval.total_seconds()
        longest = max(LONGEST.total_seconds(), usual)
        seconds = min(usual * 2.0 ** min(self.failures, _MOST_DOUBLINGS), longest)
        return timedelta(seconds=seconds * (1 + JITTER * (2 * random() - 1)))
