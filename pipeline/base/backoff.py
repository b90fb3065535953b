"""Growing waits between attempts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

# A float must not overflow. Any wait reaches `longest` long before this many doublings.
_MAX_DOUBLINGS = 64


@dataclass(frozen=True)
class Backoff:
    """Waits that double with each failure in a row.

    The wait is `first` without a failure, twice that after one, and `longest` at most. `jitter` is the largest random
    deviation as a share of the wait, in either direction. It keeps clients that started together from retrying
    together.
    """

    first: timedelta
    longest: timedelta = timedelta.max
    jitter: float = 0.0
    failures: int = 0

    def after(self, *, succeeded: bool) -> Backoff:
        """Return the state after one more attempt. A success resets the wait to `first`."""
        return replace(self, failures=0 if succeeded else self.failures + 1)

    def delay(self, random: Callable[[], float] = random.random) -> timedelta:  # noqa: S311  # spreads load, hides nothing
        """Return how long to wait now. `random` gives numbers from 0 to 1."""
        doubled = self.first.total_seconds() * 2.0 ** min(self.failures, _MAX_DOUBLINGS)
        seconds = min(doubled, self.longest.total_seconds())
        return timedelta(seconds=seconds * (1 + self.jitter * (2 * random() - 1)) if self.jitter else seconds)
