"""The simulation: its queues, its replicas, and policies in it."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scaling.policy import ScalingPolicy
from pipeline.scaling.simulation.model import Algorithm, ServiceModel
from pipeline.scaling.simulation.simulator import simulate, simulate_fixed
from tests.support.sample import sampled
from tests.unit.scaling.loop import policy
from tests.unit.scaling.traffic import poisson

ONE = ServiceModel(concurrency=1)
LEAST = ServiceModel(algorithm="least_outstanding_requests")
FIXED = policy(min=1, max=1)


def test_requests_wait_for_their_turn() -> None:
    """A replica works on one request at a time, first come, first served."""
    (minute,) = simulate([(0, 1), (0, 1), (0, 1), (50, 2)], FIXED, ONE).periods
    assert (minute.requests, minute.p50, minute.p99, minute.in_flight, minute.rejected) == (4, 2, 3, 0, 0)
    (minute,) = simulate([(0, 1), (0, 1), (0, 1)], FIXED, ServiceModel(concurrency=3)).periods
    assert (minute.p50, minute.p99) == (1, 1)


def test_requests_take_turns() -> None:
    """Each request goes to the next replica, or with least_outstanding_requests to one that is free first."""
    requests = [(0.0, 9.0), (1.0, 1.0), (2.0, 1.0)]
    assert simulate_fixed(requests, 2, ONE).periods[0].p99 == 9
    requests = [(0.0, 9.0), (1.0, 1.0), (3.0, 1.0), (3.5, 1.0)]
    assert simulate_fixed(requests, 2, ONE).periods[0].p50 == 1
    waiting = [(0.0, 20.0), (1.0, 1.0), (3.0, 1.0)]
    assert simulate_fixed(waiting, 2, ONE).periods[0].p50 == 18
    avoiding = ServiceModel(concurrency=1, algorithm="least_outstanding_requests")
    assert simulate_fixed(waiting, 2, avoiding).periods[0].p50 == 1


def test_a_request_that_would_wait_too_long_is_rejected() -> None:
    """A rejected request takes no place in the queue, and counts in the minute of its arrival."""
    model = ServiceModel(concurrency=1, max_wait=5)
    first, second = simulate([(58, 6), (58.5, 1), (59, 1), (61, 0.1)], FIXED, model).periods
    assert (first.requests, first.rejected, first.in_flight) == (3, 1, 2)
    assert (second.rejected, second.in_flight, second.p50) == (0, 0, 6)


def test_results_are_by_the_end_of_a_request() -> None:
    """A response counts in the minute in which it ended, so that the controller knows nothing in advance."""
    first, second, third = simulate([(1, 70), (130, 1)], FIXED, ONE).periods
    assert (first.p99, first.in_flight, second.p99, second.in_flight, third.p99) == (None, 1, 70, 0, 1)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_one_replica_is_an_m_m_1_queue(load: float) -> None:
    """With Poisson arrivals and exponential work, response times have the exponential distribution of theory."""
    chance = random.Random(5)
    requests = [(arrival, chance.expovariate(10)) for arrival, _ in poisson(lambda _: 10 * load, 20_000)]
    (whole,) = simulate(requests, FIXED, ServiceModel(concurrency=1, max_wait=1e6), period=20_040).periods
    assert whole.p50 == pytest.approx(math.log(2) / (10 - 10 * load), rel=0.1)
    assert whole.p99 == pytest.approx(math.log(100) / (10 - 10 * load), rel=0.1)


def test_a_new_replica_takes_its_time_to_start() -> None:
    """A replica gets requests start_time after the decision, and is paid for from the decision on."""
    requests = [(second / 10, 0.01) for second in range(1200)]
    result = simulate(requests, policy(target={"requests_per_target": 300}), ServiceModel(start_time=50.0), period=15)
    assert [(change.at, change.before, change.after) for change in result.changes] == [(15, 1, 2)]
    assert [period.serving for period in result.periods] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert result.replica_seconds == 120 + 105


def test_a_removed_replica_finishes_its_requests() -> None:
    """Scale-in drains: each request gets its response, and the replica is paid for until the last one."""
    requests = [(0.0, 30.0), (0.1, 30.0), (20.0, 1.0)]
    result = simulate(requests, policy(scale_in_cooldown="0s", scale_out_cooldown="1h"), ONE, initial=2)
    assert [(change.at, change.after) for change in result.changes] == [(15, 1)]
    assert (result.periods[0].p99, result.rejected, result.periods[0].in_flight) == (30.0, 0, 0)
    assert result.replica_seconds == pytest.approx(60 + 30.1, abs=0.2)


def test_the_first_request_starts_a_replica() -> None:
    """Without replicas, requests wait for the first one, which starts at the first request."""
    result = simulate([(20, 1), (22, 1), (40, 1)], policy(min=0), ONE)
    assert [(change.at, change.before, change.after, change.reason) for change in result.changes] == [
        (20, 0, 1, "the first request")
    ]
    assert (result.periods[0].p99, result.periods[0].p50, result.rejected) == (6, 5, 0)


def test_scheduled_actions_follow_the_time_of_the_log() -> None:
    """A simulation that begins at 7:58 applies an action of 8:00 after two minutes."""
    chosen = policy(schedule=[{"cron": "0 8 * * *", "min": 3}, {"cron": "0 20 * * *", "min": 1}])
    result = simulate([(230, 0.1)], chosen, ONE, start=datetime(2026, 3, 2, 7, 58, tzinfo=UTC))
    assert [(change.at, change.after, change.reason) for change in result.changes] == [(120, 3, "min is 3")]


def test_an_empty_log() -> None:
    """Without requests there is one empty minute."""
    result = simulate([], policy(), ONE)
    assert (len(result.periods), result.requests, result.replica_seconds) == (1, 0, 60)


@settings(max_examples=sampled(200), deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0.001, 40)), max_size=60).map(sorted),
    st.integers(0, 3),
    st.sampled_from(["round_robin", "least_outstanding_requests"]),
)
def test_no_request_is_lost(requests: list[tuple[float, float]], least: int, algorithm: Algorithm) -> None:
    """Each request ends or is rejected, whatever the policy does. The same arguments give the same result."""
    chosen = ScalingPolicy.model_validate(
        {"min": least, "max": 5, "target": {"connections": 2}, "scale_in_cooldown": "15s"}
    )
    model = ServiceModel(concurrency=2, max_wait=20.0, algorithm=algorithm)
    result = simulate(requests, chosen, model)
    assert result.requests == len(requests)
    assert result.periods[-1].in_flight == 0
    assert all(0 <= period.rejected <= period.requests for period in result.periods)
    assert simulate(requests, chosen, model) == result


HOUR = 3600


def test_steady_load_is_served_without_oscillation() -> None:
    """In an hour of 50 requests per second, the number changes only at the begin, and no p99 is over the target."""
    result = simulate(poisson(lambda _: 50, HOUR), policy(target={"requests_per_target": 1800}), ServiceModel())
    assert [change.after for change in result.changes] == [2]
    assert result.periods_over(0.5) == 0


def test_noisy_load_is_served_without_oscillation() -> None:
    """With a rate that varies by ±20 % each quarter of a minute, replicas are added at the begin and never removed."""
    chance = random.Random(3)
    noise = [chance.uniform(0.8, 1.2) for _ in range(HOUR // 15 + 1)]
    requests = poisson(lambda now: 200 * noise[int(now // 15)], HOUR)
    result = simulate(requests, policy(target={"requests_per_target": 1800}), ServiceModel(), initial=7)
    assert all(change.after > change.before for change in result.changes)
    assert len(result.changes) <= 4
    assert result.periods_over(0.5) == 0


@pytest.mark.parametrize("begin", [600, 605, 611])
def test_a_step_from_50_to_400_requests_per_second(begin: int) -> None:
    """Two control intervals after the last new container is up, the p99 is back under 500 ms, and stays there."""
    requests = poisson(lambda now: 50 if now < begin else 400, 900)
    result = simulate(requests, policy(target={"requests_per_target": 1800}), LEAST, period=15)
    up = max(change.at for change in result.changes) + LEAST.start_time
    assert up <= begin + 50
    late = [period for period in result.periods if period.start >= up + 2 * LEAST.control_interval]
    assert len(late) > 10
    assert all(period.p99 is not None and period.p99 < 0.5 for period in late)
    assert result.rejected == 0
