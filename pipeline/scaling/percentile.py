"""Percentiles of response times."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(times: Sequence[float], share: float) -> float | None:
    """Return the smallest of the sorted times that at least `share` of them do not exceed. None if there are none."""
    return times[max(0, math.ceil(len(times) * share) - 1)] if times else None
