"""Simulated auto scaling on days of public traffic, against fixed numbers of replicas."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.results import Results
from bench.traffic_days import DAYS, Day
from pipeline.scaling.policy import ScalingPolicy
from pipeline.scaling.simulation.log import read_log
from pipeline.scaling.simulation.model import ServiceModel, SimulationResult
from pipeline.scaling.simulation.simulator import simulate, simulate_fixed

_CONCURRENCY, _SHARE = 4, 0.6
# Of 1,440 minutes. Each has so few requests that the p99 of a quiet one exceeds the target by chance.
_MAX_MINUTES = 14
_P99_TO_WORK = 5
_DAY_REQUESTS = 10_000_000
_LINE = (
    "http {time}Z app/edge/shop 10.0.0.1:40000 10.0.0.2:8080 0.000 {work:.3f} 0.000 200 200 210 1430 "
    '"GET http://shop.test:80/carts/17 HTTP/1.1" "curl/8" - - shop.web "Root=1-0-0" "-" "-" 0 {time}Z '
    '"forward" "-" "-" "10.0.0.2:8080" "200" "-" "-" -\n'
)


class Load(NamedTuple):
    """A mean rate in requests per second, and the mean work of a request in seconds. Their product is the same."""

    rate: float
    work: float


class Compared(NamedTuple):
    """The result of the policy, the fixed number with its headroom, and the smallest number that would have done."""

    scaled: SimulationResult
    fixed: int
    least: int

    @property
    def hours(self) -> int:
        """The replica-hours of the fixed number."""
        return self.fixed * 24


def measure(extent: Extent) -> Results:
    """Simulate each day, and measure the time of a simulation."""
    load = extent.choose(Load(20, 0.6), Load(5, 2.4))
    found = [(day, _compare(day, load)) for day in DAYS]
    seconds = _seconds_for_a_day(load, extent.choose(400_000, 50_000))
    target = 60 * _SHARE * _CONCURRENCY / load.work
    sources = "; ".join(f"{day.name}: {day.source}" for day in DAYS)
    return Results.judged(
        "Simulated auto scaling",
        f"Days of 24 hours with {load.rate:g} requests per second on average, Poisson, and log-normal work of "
        f"{load.work:g} s on average. Replicas work on {_CONCURRENCY} requests at the same time and start in 5 s. The "
        f"policy keeps {target:g} requests per minute for each replica, {_SHARE:.0%} of its capacity. The fixed number "
        "keeps the same in the busiest hour. Beside it is the smallest number with which the p99 of at most "
        f"{_MAX_MINUTES} minutes is over {_limit(load):g} s, which is known only after the day. Rates: {sources}.",
        ("day", "requests", "replicas", "changes", "minutes over", "replica-hours", "fixed", "saved", "in hindsight"),
        [_row(day, compared, load) for day, compared in found],
        [
            *(
                Figure(f"{day.name}: replica-hours, times fixed", compared.scaled.replica_hours / compared.hours, 0.8)
                for day, compared in found
            ),
            *(
                Figure(f"{day.name}: minutes over", compared.scaled.periods_over(_limit(load)), _MAX_MINUTES)
                for day, compared in found
            ),
            Figure("seconds of CPU to read and simulate 10 million requests", seconds, 60),
        ],
    )


def _limit(load: Load) -> float:
    return _P99_TO_WORK * load.work


def _compare(day: Day, load: Load) -> Compared:
    model = ServiceModel(concurrency=_CONCURRENCY)
    capacity = _CONCURRENCY / load.work
    policy = ScalingPolicy.model_validate(
        {"min": 1, "max": 50, "target": {"requests_per_target": 60 * _SHARE * capacity}}
    )
    scaled = simulate(day.requests(load.rate, load.work), policy, model, initial=4)
    busiest = load.rate * max(day.ratios)
    least = math.ceil(busiest / capacity)
    while simulate_fixed(day.requests(load.rate, load.work), least, model).periods_over(_limit(load)) > _MAX_MINUTES:
        least += 1
        assert least <= 3 * busiest / capacity, "no number suffices"
    return Compared(scaled, math.ceil(busiest / capacity / _SHARE), least)


def _row(day: Day, compared: Compared, load: Load) -> tuple[str, ...]:
    scaled = compared.scaled
    return (
        day.name,
        f"{scaled.requests:,}",
        f"{min(period.replicas for period in scaled.periods)} to {scaled.most_replicas}",
        str(len(scaled.changes)),
        str(scaled.periods_over(_limit(load))),
        f"{scaled.replica_hours:.1f}",
        f"{compared.fixed}: {compared.hours}",
        f"{1 - scaled.replica_hours / compared.hours:.0%}",
        f"{compared.least}: {compared.least * 24}",
    )


def _seconds_for_a_day(load: Load, lines: int) -> float:
    """Return the CPU time to read a log of ten million lines and to simulate it once, from a shorter one."""
    rate = _DAY_REQUESTS / 86_400
    policy = ScalingPolicy.model_validate({"min": 1, "max": 50, "target": {"requests_per_target": 1200}})
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "access.log"
        log.write_text("".join(_lines(rate, load.work, lines)))
        begin = time.process_time()
        recorded = read_log([log])
        simulate(recorded.requests(), policy, ServiceModel(concurrency=_CONCURRENCY), initial=10)
        spent = time.process_time() - begin
    assert len(recorded) == lines
    return spent * _DAY_REQUESTS / lines


def _lines(rate: float, work: float, count: int) -> Iterator[str]:
    start = datetime(1995, 7, 6, tzinfo=UTC)
    for place in range(count):
        ended = start + timedelta(seconds=place / rate)
        yield _LINE.format(time=ended.isoformat(timespec="microseconds").removesuffix("+00:00"), work=work * 0.5)
