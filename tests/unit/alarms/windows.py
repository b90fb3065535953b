"""Windows of simulated releases."""

from __future__ import annotations

import random

from pipeline.alarms.histogram import Histogram
from pipeline.alarms.window import ReleaseWindow


def window(rng: random.Random, requests: int, errors: float = 0.0, slowness: float = 1.0) -> ReleaseWindow:
    """Return a window with a ratio of responses with 5XX, and lognormal times with a median of 50 ms by `slowness`."""
    return ReleaseWindow(
        requests=requests,
        target_5xx=sum(rng.random() < errors for _ in range(requests)),
        response_times=Histogram.from_times(0.05 * slowness * rng.lognormvariate(0, 0.6) for _ in range(requests)),
    )
