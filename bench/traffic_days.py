"""Days of public traffic: the requests of each hour, relative to the day's mean, and requests made from them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HOUR = 3600
# The work of a request is log-normal: the mean is that many medians.
_SIGMA = 0.6
_MEAN_TO_MEDIAN = 1.1972


@dataclass(frozen=True)
class Day:
    """A day. `ratios` has the load of its hours, from midnight in its own time zone, as a share of their mean."""

    name: str
    source: str
    ratios: Sequence[float]

    def requests(self, mean_rate: float, mean_work: float) -> Iterator[tuple[float, float]]:
        """Yield the time of arrival and the work of each request, in seconds.

        Arrivals are a Poisson process whose rate changes linearly from the middle of an hour to that of the next one.
        The same arguments give the same requests.
        """
        chance, median = random.Random(self.name), mean_work / _MEAN_TO_MEDIAN
        highest = mean_rate * max(self.ratios)
        now = 0.0
        while (now := now + chance.expovariate(highest)) < 24 * _HOUR:
            if chance.random() * highest < mean_rate * self._ratio(now):
                yield now, median * chance.lognormvariate(0, _SIGMA)

    def _ratio(self, now: float) -> float:
        place = now / _HOUR - 0.5
        before = int(place // 1)
        share = place - before
        first, second = self.ratios[before % 24], self.ratios[(before + 1) % 24]
        return first * (1 - share) + second * share


def _hours(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


_TRACES = "request rates of github.com/reconfigurable-ml-pipeline/web-service-datasets"
_NASA = f"NASA-HTTP of the Internet Traffic Archive, {_TRACES}"
DAYS = (
    Day(
        "NASA, Thursday 6 July 1995",
        _NASA,
        _hours(
            "0.63 0.46 0.43 0.37 0.34 0.39 0.44 0.65 1.0 1.19 1.38 1.53 "
            "1.52 1.65 1.65 1.68 1.59 1.3 1.14 1.0 0.97 0.83 0.94 0.93"
        ),
    ),
    Day(
        "NASA, 13 July 1995, launch of STS-70",
        _NASA,
        _hours(
            "0.6 0.6 0.53 0.45 0.39 0.48 0.66 1.08 2.07 2.67 1.83 1.74 "
            "1.53 1.31 1.34 1.31 1.28 0.64 0.81 0.41 0.42 0.66 0.6 0.61"
        ),
    ),
    Day(
        "Twitter stream, 4th day of August 2021",
        f"Archive Team's Twitter stream, {_TRACES}",
        _hours(
            "0.71 1.09 0.77 1.11 0.94 1.04 1.15 1.71 1.3 1.44 0.96 1.19 "
            "0.79 0.84 0.73 1.4 0.7 1.02 0.75 1.16 0.81 1.22 0.78 0.39"
        ),
    ),
)
