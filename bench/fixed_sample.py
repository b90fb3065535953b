"""Tests for a sample of a size fixed in advance, evaluated after each second as if that were allowed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The normal quantile of 99 %, one-sided, as the statistics of Penstock have it.
_CRITICAL = 2.3263


def first_alarm(statistic: NDArray[np.float64], enough: NDArray[np.bool_]) -> int | None:
    """Return the first second at which a normal statistic is beyond its critical value."""
    found = np.flatnonzero((statistic > _CRITICAL) & enough)
    return int(found[0]) + 1 if len(found) else None


def two_proportions(
    bad: NDArray[np.int64], total: NDArray[np.int64], previous_bad: NDArray[np.int64], previous_total: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the statistic of the pooled z-test of two proportions, by cumulated counts."""
    rate = (bad + previous_bad) / np.maximum(total + previous_total, 1)
    size = np.maximum(total, 1), np.maximum(previous_total, 1)
    deviation = np.sqrt(rate * (1 - rate) * (1 / size[0] + 1 / size[1]))
    return (bad / size[0] - previous_bad / size[1]) / np.where(deviation > 0, deviation, np.inf)


def mann_whitney(times: NDArray[np.int64], previous: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the statistic of the Mann-Whitney test with ties, by cumulated counts in rows of buckets."""
    new, old = times.astype(float), previous.astype(float)
    below = np.cumsum(old, axis=1) - 0.5 * old
    n, m = new.sum(axis=1), old.sum(axis=1)
    total, ties = np.maximum(n + m, 2), new + old
    u = (new * below).sum(axis=1)
    tied = (ties * ties * ties - ties).sum(axis=1) / (total * (total - 1))
    deviation = np.sqrt(n * m / 12 * (total + 1 - tied))
    statistic: NDArray[np.float64] = (u - n * m / 2) / np.where(deviation > 0, deviation, np.inf)
    return statistic
