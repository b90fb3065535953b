"""One simulated deployment, with Penstock's tests and with fixed-sample tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.deployment_shapes import SHAPES, Means, Shape, means
from bench.fixed_sample import first_alarm, mann_whitney, two_proportions
from pipeline.alarms.histogram import Histogram
from pipeline.alarms.ratio import Count, against_previous
from pipeline.alarms.response_time import WHOLE_DISTRIBUTION, ResponseTimeComparison
from pipeline.alarms.stratum import Stratum
from pipeline.alarms.wealth import Wealth
from pipeline.alarms.window import ReleaseWindow

RATIO, TIME, P99 = "5xx, sequential", "response_time, sequential", "p99 slower_by 10 %, sequential"
Z, U = "5xx, z-test every second", "response_time, Mann-Whitney every second"
TESTS = {"5xx": (RATIO, Z), "time": (TIME, P99, U), "": (RATIO, TIME, Z, U)}
"""The tests of a shape, by what it expects."""

_CONFIDENCE, _MIN_REQUESTS, _SEED = 0.99, 20, 16

Alarm = int | None
"""The second of the first alarm."""


class Drawn:
    """The counts of one release in each second of one deployment."""

    def __init__(self, mean: Means, rng: np.random.Generator) -> None:
        self.times: NDArray[np.int64] = rng.poisson(mean.times)
        self.requests: NDArray[np.int64] = self.times.sum(axis=1)
        self.bad: NDArray[np.int64] = rng.binomial(self.requests, mean.errors)
        self._first = mean.first_bucket

    def windows(self) -> Iterator[ReleaseWindow]:
        """Yield the window of each second."""
        for bad, times in zip(self.bad.tolist(), self.times, strict=True):
            buckets = np.flatnonzero(times)
            counts = dict(zip((buckets + self._first).tolist(), times[buckets].tolist(), strict=True))
            histogram = Histogram(counts)
            yield ReleaseWindow(requests=histogram.total, target_5xx=bad, response_times=histogram)


def deployment(index: int, number: int) -> Mapping[str, Alarm]:
    """Return the first alarm of each test in a deployment of a shape. The same number gives the same deployment."""
    shape, (mean_new, mean_previous) = SHAPES[index], _cached_means(index)
    rng = np.random.default_rng([_SEED, index, number])
    new, previous = Drawn(mean_new, rng), Drawn(mean_previous, rng)
    return {**_fixed_sample(new, previous), **_sequential(shape, new, previous)}


@cache
def _cached_means(index: int) -> tuple[Means, Means]:
    return means(SHAPES[index])


def _fixed_sample(new: Drawn, previous: Drawn) -> dict[str, Alarm]:
    n, m = new.requests.cumsum(), previous.requests.cumsum()
    enough = np.minimum(n, m) >= _MIN_REQUESTS
    z = two_proportions(new.bad.cumsum(), n, previous.bad.cumsum(), m)
    u = mann_whitney(new.times.cumsum(axis=0), previous.times.cumsum(axis=0))
    return {Z: first_alarm(z, enough), U: first_alarm(u, enough)}


def _sequential(shape: Shape, new: Drawn, previous: Drawn) -> dict[str, Alarm]:
    """Run the tests of Penstock that the shape asks for, until each has an alarm."""
    alarms: dict[str, Alarm] = dict.fromkeys((RATIO, TIME, P99))
    open_tests = {test for test in TESTS[shape.expects] if test in alarms}
    stratum, wealth, threshold = Stratum(), Wealth(), 1 / (1 - _CONFIDENCE)
    comparisons = {TIME: ResponseTimeComparison(WHOLE_DISTRIBUTION, 0.0), P99: ResponseTimeComparison([0.99], 0.1)}
    seen = 0
    for second, (a, b) in enumerate(zip(new.windows(), previous.windows(), strict=True), 1):
        if (joined := stratum.add(a, b)) is None:
            continue
        one, other = joined
        seen += one.requests
        for test in [*open_tests]:
            if test == RATIO:
                wealth.bet(
                    against_previous(Count(one.target_5xx, one.requests), Count(other.target_5xx, other.requests))
                )
                e_value = wealth.e_value
            else:
                comparisons[test].add(one.response_times, other.response_times)
                e_value = comparisons[test].e_value
            if e_value >= threshold and seen >= _MIN_REQUESTS:
                alarms[test] = second
                open_tests.discard(test)
        if not open_tests:
            break
    return alarms
