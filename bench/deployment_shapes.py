"""Simulated deployments with a canary: how many requests each release gets in each second, and how they end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.histogram import LAST_BUCKET, upper_bound

SECONDS, CANARY = 300, 0.1
_ERRORS = 0.001
# Mean count in all seconds from which on a bucket is simulated.
_NEVER = 1e-6
# The part of the requests whose time grows if only the slow tail is slower.
_TAIL = 0.05

_SEQUENTIAL = {"5xx": "5xx, sequential", "time": "response_time, sequential"}

Distribution = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The share of response times that are at most so many seconds."""


@dataclass(frozen=True)
class Shape:
    """What happens to both releases, and how the new one differs. `bad_after`: seconds until it begins to answer 5XX.

    `errors` is the ratio of the new release. `previous` and `new` are the distributions of the response times. An equal
    release `expects` nothing.
    """

    name: str
    previous: Distribution
    new: Distribution
    errors: float = _ERRORS
    bad_after: int = 0
    rate: float = 200.0
    drifts: bool = False
    expects: str = ""

    @property
    def is_equal(self) -> bool:
        """True if an alarm is a false one."""
        return not self.expects

    def limits(self, test: str) -> bool:
        """Return whether the alarms of a test are a figure with a limit."""
        return test in (_SEQUENTIAL.values() if self.is_equal else (_SEQUENTIAL[self.expects],))


@dataclass(frozen=True)
class Means:
    """Of a release in each second: the ratio of responses with 5XX, and the mean count of times in each bucket."""

    errors: NDArray[np.float64]
    times: NDArray[np.float64]
    first_bucket: int


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values])


def lognormal(median: float, sigma: float) -> Distribution:
    """Return a lognormal distribution."""
    return lambda seconds: _normal(np.log(seconds / median) / sigma)


def bimodal() -> Distribution:
    """Return the times of a service whose cache answers four of five requests."""
    fast, slow = lognormal(0.005, 0.3), lognormal(0.12, 0.35)
    return lambda seconds: 0.8 * fast(seconds) + 0.2 * slow(seconds)


def slower(distribution: Distribution, factor: float) -> Distribution:
    """Return the distribution of times that are all longer by a factor."""
    return lambda seconds: distribution(seconds / factor)


def slower_tail(distribution: Distribution, factor: float) -> Distribution:
    """Return the distribution if only the longest times are longer by a factor."""
    return lambda seconds: np.where(
        distribution(seconds) <= 1 - _TAIL, distribution(seconds), np.maximum(1 - _TAIL, distribution(seconds / factor))
    )


LOGNORMAL, BIMODAL = lognormal(0.05, 0.6), bimodal()
SHAPES = (
    Shape("equal, lognormal", LOGNORMAL, LOGNORMAL),
    Shape("equal, bimodal; drift and an incident at both", BIMODAL, BIMODAL, drifts=True),
    Shape("equal, 2 requests/s, 2 % of 500s at both", LOGNORMAL, LOGNORMAL, errors=0.02, rate=2.0),
    Shape("2 % of 500s", LOGNORMAL, LOGNORMAL, errors=0.02, expects="5xx"),
    Shape("2 % of 500s from minute 3 on", LOGNORMAL, LOGNORMAL, errors=0.02, bad_after=180, expects="5xx"),
    Shape("30 % slower, lognormal", LOGNORMAL, slower(LOGNORMAL, 1.3), expects="time"),
    Shape("30 % slower, bimodal", BIMODAL, slower(BIMODAL, 1.3), expects="time"),
    Shape("slow tail 30 % slower, lognormal", LOGNORMAL, slower_tail(LOGNORMAL, 1.3), expects="time"),
    Shape("slow tail 30 % slower, bimodal", BIMODAL, slower_tail(BIMODAL, 1.3), expects="time"),
    Shape("30 % of 500s, 2 requests/s", LOGNORMAL, LOGNORMAL, errors=0.3, rate=2.0, expects="5xx"),
)


def means(shape: Shape) -> tuple[Means, Means]:
    """Return the means of the new release and of the previous one."""
    second = np.arange(SECONDS)
    load = 1 + second / SECONDS if shape.drifts else np.ones(SECONDS)
    incident = (second >= 150) & (second < 180) & shape.drifts
    slowness = np.where(incident, 3.0, 1 + 1.5 * second / SECONDS if shape.drifts else 1.0)
    # An equal release has the errors of the new one, so that the shape has one number for them.
    usual = shape.errors if shape.is_equal else _ERRORS
    common = np.where(incident, 0.2, usual * (1 + 9 * second / SECONDS) if shape.drifts else usual)
    errors = np.where(second >= shape.bad_after, np.maximum(common, shape.errors), common)
    new = requests_per_bucket(shape.new, shape.rate * CANARY * load, slowness)
    previous = requests_per_bucket(shape.previous, shape.rate * (1 - CANARY) * load, slowness)
    occupied = np.flatnonzero((new + previous).sum(axis=0) > _NEVER)
    first, last = int(occupied[0]), int(occupied[-1])
    return Means(errors, new[:, first : last + 1], first), Means(common, previous[:, first : last + 1], first)


def requests_per_bucket(
    distribution: Distribution, requests: NDArray[np.float64], slowness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean counts of times: a row for each second, a column for each bucket."""
    bounds = np.array([upper_bound(bucket) for bucket in range(LAST_BUCKET + 1)])
    below = {factor: distribution(bounds / factor) for factor in set(slowness.tolist())}
    shares = np.array([np.diff(below[factor], prepend=0.0) for factor in slowness.tolist()])
    times: NDArray[np.float64] = requests[:, None] * np.maximum(shares, 0.0)
    return times
