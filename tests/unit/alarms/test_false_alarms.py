"""A sample of the simulation in `bench/alarms.py`: false alarms and power of the 5XX ratio and of response times."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from pipeline.alarms.ratio import Count, against_previous
from pipeline.alarms.response_time import WHOLE_DISTRIBUTION, ResponseTimeComparison
from pipeline.alarms.wealth import Wealth
from tests.unit.alarms.windows import window

SECONDS, THRESHOLD = 300, 100.0


def seconds(rng: random.Random, errors: float) -> Iterator[tuple[Count, Count]]:
    """Yield the counts of a canary of 10 % and of the previous release, at 200 requests a second."""
    for _ in range(SECONDS):
        yield Count(_binomial(rng, 20, errors), 20), Count(_binomial(rng, 180, 0.005), 180)


def _binomial(rng: random.Random, total: int, ratio: float) -> int:
    """Draw a number of bad responses, by the gaps between them."""
    found, place = 0, 0.0
    while (place := place + math.log(1 - rng.random()) / math.log(1 - ratio)) < total:
        found += 1
        place = math.floor(place) + 1
    return found


def alarm(rng: random.Random, errors: float) -> tuple[int | None, bool]:
    """Return the second of the sequential test's alarm, and whether a z-test every second has one."""
    wealth, new, previous, naive = Wealth(), Count(), Count(), False
    for second, (a, b) in enumerate(seconds(rng, errors), 1):
        wealth.bet(against_previous(a, b))
        new, previous = new.plus(a), previous.plus(b)
        rate = (new.bad + previous.bad) / (new.total + previous.total)
        deviation = math.sqrt(rate * (1 - rate) * (1 / new.total + 1 / previous.total))
        difference = new.bad / new.total - previous.bad / previous.total
        naive = naive or (deviation > 0 and difference / deviation > 2.3263)
        if wealth.e_value >= THRESHOLD:
            return second, naive
    return None, naive


def test_false_alarms_of_the_5xx_ratio() -> None:
    """Of 500 equal releases at most 1 % have an alarm, looked at every second, but many have one by a z-test."""
    found = [alarm(random.Random(seed), 0.005) for seed in range(500)]
    assert sum(second is not None for second, _ in found) <= 5
    assert sum(naive for _, naive in found) >= 50


def test_the_power_of_the_5xx_ratio() -> None:
    """Each of 100 releases that answer 2 % of the requests with 500 has an alarm in the first two minutes."""
    found = [alarm(random.Random(seed), 0.02)[0] for seed in range(100)]
    assert all(second is not None and second <= 120 for second in found)


def response_time_alarm(rng: random.Random, slowness: float, limit: int) -> int | None:
    comparison = ResponseTimeComparison(WHOLE_DISTRIBUTION, 0.0)
    for second in range(1, limit + 1):
        new, previous = window(rng, 10, slowness=slowness), window(rng, 90)
        comparison.add(new.response_times, previous.response_times)
        if comparison.e_value >= THRESHOLD:
            return second
    return None


def test_response_times() -> None:
    """Of 40 equal releases none has an alarm, and each of 40 that are 30 % slower has one in the first minute."""
    assert [response_time_alarm(random.Random(seed), 1.0, 100) for seed in range(40)] == [None] * 40
    assert None not in [response_time_alarm(random.Random(seed), 1.3, 60) for seed in range(40)]
