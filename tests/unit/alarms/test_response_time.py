"""The comparison of response times."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pipeline.alarms.histogram import Histogram
from pipeline.alarms.response_time import WHOLE_DISTRIBUTION, ResponseTimeComparison


def evidence(
    new: Callable[[float], float], margin: float = 0.0, quantiles: tuple[float, ...] = WHOLE_DISTRIBUTION
) -> float:
    """Return the e-value after 60 windows in which the times of the new release are those of the old one, changed."""
    rng = random.Random(7)
    comparison = ResponseTimeComparison(quantiles, margin)
    for _ in range(60):
        times = [[0.05 * rng.lognormvariate(0, 0.6) for _ in range(count)] for count in (20, 180)]
        comparison.add(Histogram.from_times(map(new, times[0])), Histogram.from_times(times[1]))
    return comparison.e_value


def test_equal_and_faster_releases() -> None:
    """A release that is equal or faster gives no evidence."""
    assert evidence(lambda time: time) < 2
    assert evidence(lambda time: time / 2) < 1


def test_a_slower_release() -> None:
    """A release that is 30 % slower is found, in all its times or in its slowest twentieth alone."""
    assert evidence(lambda time: time * 1.3) > 1e6
    assert evidence(lambda time: time * 1.3 if time > 0.134 else time) > 30


def test_the_margin() -> None:
    """A margin forgives what is within it, and not what is far beyond."""
    assert evidence(lambda time: time * 1.1, margin=0.1) < 2
    assert evidence(lambda time: time * 1.6, margin=0.1) > 1e6


def test_a_percentile() -> None:
    """One quantile sees only what changes there."""
    assert evidence(lambda time: min(time, 0.09) * 1.3, quantiles=(0.99,)) < 2
    assert evidence(lambda time: time * 1.5, quantiles=(0.99,)) > 1000


def test_rounded_times_are_within_a_margin() -> None:
    """Times of a few milliseconds, which the log rounds down, give no evidence for a release within the margin."""
    rng = random.Random(3)
    comparison = ResponseTimeComparison(WHOLE_DISTRIBUTION, 0.1)
    for _ in range(300):
        times = [[0.002 * rng.lognormvariate(0, 0.5) * factor for _ in range(100)] for factor in (1.1, 1.0)]
        rounded = [Histogram.from_times(int(time * 1000) / 1000 for time in each) for each in times]
        comparison.add(rounded[0], rounded[1])
    assert comparison.e_value < 2


@pytest.mark.parametrize("margin", [0.0, 0.1, 9.0])
def test_empty_and_huge_windows(margin: float) -> None:
    """Windows without times change nothing, and windows with 10**9 times give a number."""
    comparison = ResponseTimeComparison(WHOLE_DISTRIBUTION, margin)
    comparison.add(Histogram(), Histogram())
    comparison.add(Histogram({600: 5}), Histogram())
    comparison.add(Histogram(), Histogram({600: 5}))
    assert comparison.e_value == 1.0
    huge = Histogram(dict.fromkeys(range(0, 699, 10), 10**9))
    for _ in range(5):
        comparison.add(Histogram({690: 10**9}), huge)
    assert comparison.e_value > 1e100 if margin == 0 else comparison.e_value >= 0
