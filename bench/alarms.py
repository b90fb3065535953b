"""False alarms and power of `rollback_on` in simulated deployments that are looked at every second.

Each deployment has a canary of 10 % for five minutes. Beside Penstock's tests, fixed-sample tests of the same
confidence are evaluated as often.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from bench.deployment_shapes import SECONDS, SHAPES, Means, Shape, means
from bench.extent import Extent
from bench.figure import Figure
from bench.fixed_sample import first_alarm, mann_whitney, two_proportions
from bench.results import Results
from pipeline.alarms.histogram import Histogram
from pipeline.alarms.ratio import Count, against_previous
from pipeline.alarms.response_time import WHOLE_DISTRIBUTION, ResponseTimeComparison
from pipeline.alarms.stratum import Stratum
from pipeline.alarms.wealth import Wealth
from pipeline.alarms.window import ReleaseWindow

_CONFIDENCE, _MIN_REQUESTS, _SEED = 0.99, 20, 16
_RATIO, _TIME, _P99 = "5xx, sequential", "response_time, sequential", "p99 slower_by 10 %, sequential"
_Z, _U = "5xx, z-test every second", "response_time, Mann-Whitney every second"
_TESTS = {"5xx": (_RATIO, _Z), "time": (_TIME, _P99, _U), "": (_RATIO, _TIME, _Z, _U)}
# Percent of the deployments in which a bad release may be missed.
_MISSED = {"30 % of 500s, 2 requests/s": 25.0}

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


def measure(extent: Extent) -> Results:
    """Simulate each shape of deployments."""
    counts = extent.choose((10_000, 2_000), (200, 50))
    rows: list[tuple[str, ...]] = []
    figures: list[Figure] = []
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for index, shape in enumerate(SHAPES):
            count = counts[0 if shape.is_equal else 1]
            alarms = [*pool.map(partial(deployment, index), range(count), chunksize=25)]
            for test in _TESTS[shape.expects]:
                seconds = [found for each in alarms if (found := each[test]) is not None]
                rows.append((shape.name, test, *_format(seconds, count)))
                print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
                if test in (_RATIO, _TIME):
                    figures.append(_figure(shape, test, len(seconds) / count * 100))
    return Results.judged(
        "Alarms of a canary",
        f"Simulated deployments: {counts[0]:,} of each of the first three kinds, in which both releases are equal, so "
        f"each alarm is a false one, and {counts[1]:,} of each other kind. Each has 5 minutes with a canary of 10 %, "
        "at 200 requests/s and with 0.1 % of 500s where nothing else is said. Each test is evaluated every second, "
        "alone, at a confidence of 99 %.",
        ("deployment", "test", "alarms", "median second of the alarm"),
        rows,
        figures,
    )


def _figure(shape: Shape, test: str, percent: float) -> Figure:
    if shape.is_equal:
        return Figure(f"{shape.name}: false alarms of {test}, %", percent, (1 - _CONFIDENCE) * 100)
    return Figure(f"{shape.name}: missed by {test}, %", 100 - percent, _MISSED.get(shape.name, 1.0))


def _format(seconds: list[int], count: int) -> tuple[str, str]:
    median = f"{statistics.median(seconds):.0f}" if seconds else "none"
    return f"{len(seconds) / count:.2%}".replace("%", " %"), median


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
    return {_Z: first_alarm(z, enough), _U: first_alarm(u, enough)}


def _sequential(shape: Shape, new: Drawn, previous: Drawn) -> dict[str, Alarm]:
    """Run the tests of Penstock that the shape asks for, until each has an alarm."""
    alarms: dict[str, Alarm] = dict.fromkeys((_RATIO, _TIME, _P99))
    open_tests = {test for test in _TESTS[shape.expects] if test in alarms}
    stratum, wealth, threshold = Stratum(), Wealth(), 1 / (1 - _CONFIDENCE)
    comparisons = {_TIME: ResponseTimeComparison(WHOLE_DISTRIBUTION, 0.0), _P99: ResponseTimeComparison([0.99], 0.1)}
    seen = 0
    for second, (a, b) in enumerate(zip(new.windows(), previous.windows(), strict=True), 1):
        if (joined := stratum.add(a, b)) is None:
            continue
        one, other = joined
        seen += one.requests
        for test in [*open_tests]:
            if test == _RATIO:
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
    assert second <= SECONDS
    return alarms
