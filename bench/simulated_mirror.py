"""Simulated copies of requests, of which each pair has an alarm or none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.alarms.alarms import Alarms
from pipeline.alarms.histogram import Histogram, bucket_of
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.window import ReleaseWindow

RATE, SECONDS = 20, 120
# Times of requests differ much more from one another than the two copies of a request do.
_MEDIAN, _SIGMA_OF_REQUESTS, _SIGMA_OF_COPIES = 0.03, 1.0, 0.2
_WORSE = "worse_than_previous"


@dataclass(frozen=True)
class Shape:
    """A new release: the share of its copies that fail, and how many times longer they take.

    Of the copies to the previous release, 0.1 % fail.
    """

    name: str
    metric: str
    failing: float = 0.001
    slower: float = 1.0

    def alarm(self, source: random.Random) -> int | None:
        """Simulate a deployment. Return the second of the alarm, None without one."""
        conditions: Any = [{"metric": self.metric, _WORSE: True}]
        alarms = Alarms(RollbackOn.model_validate({"conditions": conditions, "warm_up": "0s"}), are_pairs=True)
        pairs = self._pairs(source)
        for second in range(1, SECONDS + 1):
            for _ in range(RATE):
                alarms.add(*next(pairs))
            if alarms.verdicts()[0].state == "ALARM":
                return second
        return None

    def _pairs(self, source: random.Random) -> Iterator[tuple[ReleaseWindow, ReleaseWindow]]:
        while True:
            cost = _MEDIAN * source.lognormvariate(0, _SIGMA_OF_REQUESTS)
            yield self._copy(source, self.failing, cost * self.slower), self._copy(source, 0.001, cost)

    def _copy(self, source: random.Random, failing: float, cost: float) -> ReleaseWindow:
        if self.metric != "response_time":
            return _FAILED if source.random() < failing else _GOOD
        return _timed(bucket_of(cost * source.lognormvariate(0, _SIGMA_OF_COPIES)))


_GOOD, _FAILED = ReleaseWindow(requests=1), ReleaseWindow(requests=1, target_5xx=1)


@cache
def _timed(bucket: int) -> ReleaseWindow:
    return ReleaseWindow(requests=1, response_times=Histogram({bucket: 1}))


EQUAL = (Shape("equal", "http_5xx_ratio"), Shape("equal", "response_time"))
WORSE = (
    Shape("all copies get 500", "http_5xx_ratio", failing=1.0),
    Shape("2 % of 500s", "http_5xx_ratio", failing=0.02),
    Shape("each request takes 10 % longer", "response_time", slower=1.1),
)
