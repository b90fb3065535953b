"""Generated requests: times of arrival and work, always the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

# The work of a request: a median of 80 ms, a mean of 96 ms, and a long tail.
_MEDIAN_LOG, _SIGMA = -2.526, 0.6


def poisson(rate: Callable[[float], float], seconds: float, seed: int = 1) -> Iterator[tuple[float, float]]:
    """Yield independent requests. `rate` gives the requests per second at a time."""
    chance, now = random.Random(seed), 0.0
    while (now := now + chance.expovariate(rate(now))) < seconds:
        yield now, chance.lognormvariate(_MEDIAN_LOG, _SIGMA)
