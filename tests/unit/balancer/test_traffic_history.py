"""The history of traffic: counts by second, quantiles of response times, and how long it is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.access import ForwardedRequest
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.telemetry import traffic_follower
from pipeline.balancer.telemetry.traffic_follower import MAX_SECONDS, TrafficFollower
from pipeline.balancer.telemetry.traffic_history import TrafficChoice, TrafficHistory, bucket_of, largest_of
from pipeline.testing.fakes.access_log import FakeAccessLog
from pipeline.testing.fakes.clock import FakeClock
from tests.support.access_log import raw

ALL = TrafficChoice()


def ended(second: float, group: str = "shop.web", status: int | None = 200, took: int | None = 40) -> ForwardedRequest:
    """Return a request that ended in a second after 1970."""
    return ForwardedRequest(
        arrived=int(second * 1000) - (took or 0),
        ended=int(second * 1000),
        listener=8080,
        group=group,
        target="web-1",
        status=status,
        is_from_target=took is not None,
        response_time=took,
        connect_errors=0,
        is_grpc=False,
        error=None,
    )


def counted(*requests: ForwardedRequest) -> TrafficHistory:
    history = TrafficHistory()
    history.add(requests)
    return history


def test_steps() -> None:
    """Steps begin at multiples of their length. The first and the last one may be shorter, and empty ones are there."""
    history = counted(ended(101), ended(102.999), ended(103), ended(109.5), ended(112))
    found = [(step.at.timestamp(), step.seconds, step.requests) for step in history.steps(101, 112, 3, ALL)]
    assert found == [(101, 1, 1), (102, 3, 2), (105, 3, 0), (108, 3, 1), (111, 1, 0)]


def test_errors_and_times() -> None:
    """Errors count by what the client got, times only of responses from a target. A client that left is a 4XX."""
    requests = [ended(1, status=status, took=took) for status, took in ((200, 10), (404, 20), (460, 31))]
    own = [ended(1, status=503, took=None), ended(1, status=None, took=None), ended(1, status=502, took=4)]
    (step,) = counted(*requests, *own).steps(1, 2, 1, ALL)
    assert (step.requests, step.errors_4xx, step.errors_5xx) == (6, 2, 2)
    assert (step.p50, step.p99) == (0.01, 0.031)
    (empty,) = counted().steps(1, 2, 1, ALL)
    assert (empty.requests, empty.p50, empty.p99) == (0, None, None)


@pytest.mark.parametrize(
    ("choice", "requests"),
    [
        (ALL, 4),
        (TrafficChoice(owner="shop"), 2),
        (TrafficChoice(group="shop.web-next"), 1),
        (TrafficChoice(owner="blog", others=frozenset({"shop.web"})), 2),
        (TrafficChoice(group="other.web", owner="shop"), 0),
    ],
)
def test_choices(choice: TrafficChoice, requests: int) -> None:
    """A choice is of one group, or of those of an owner and some others."""
    history = counted(*(ended(1, group) for group in ("shop.web", "shop.web-next", "blog.web", "shop2.web")))
    assert [step.requests for step in history.steps(1, 2, 1, choice)] == [requests]
    assert history.groups(1, 2) == ["blog.web", "shop.web", "shop.web-next", "shop2.web"]


def test_a_step_that_gets_more() -> None:
    """A step is computed again if a request in it comes later, and steps before it are not."""
    history = counted(ended(1), ended(3))
    before = [*history.steps(1, 4, 1, ALL)]
    assert history.add([ended(3.9), ended(2.5)]) == 2
    after = [*history.steps(1, 4, 1, ALL)]
    assert [step.requests for step in after] == [1, 1, 2]
    assert after[0] is before[0]
    history.keep(2, 3)
    assert [step.requests for step in history.steps(1, 4, 1, ALL)] == [0, 1, 2]


@given(st.integers(0, 10**7))
def test_buckets(milliseconds: int) -> None:
    """The longest time of a bucket is at least the time and at most a sixteenth longer. Buckets are in order."""
    found = largest_of(bucket_of(milliseconds))
    assert milliseconds <= found <= milliseconds * 17 / 16 + 0.5
    assert bucket_of(found) == bucket_of(milliseconds) < bucket_of(found + 1)


def line(second: int) -> bytes:
    """Return the line of a request that ended in a second after 1970."""
    return raw(accepted_seconds=str(second), handshake="0", idle="0", total="0")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=datetime.fromtimestamp(1000.5, UTC))


def follower(log: FakeAccessLog, clock: FakeClock) -> TrafficFollower:
    return TrafficFollower(lambda: log, clock)


def test_following(clock: FakeClock) -> None:
    """The first look has what the log has, each later one what was added. The present second is left out."""
    log = FakeAccessLog([], [ended(500), ended(990), ended(999), ended(1000.2)])
    found = follower(log, clock)
    window = found.window(20, 10, ALL)
    assert (window.since.timestamp(), window.end.timestamp(), window.groups) == (980, 1000, ["shop.web"])
    assert [step.requests for step in window.steps] == [0, 2]
    log.requests += [ended(1000.9)]
    clock.advance(timedelta(seconds=1))
    assert [step.requests for step in found.window(20, 10, ALL).steps] == [0, 2, 2]


def test_a_longer_window(clock: FakeClock) -> None:
    """A longer window reads the log again, a shorter one uses what is there."""
    opened = []
    log = FakeAccessLog([], [ended(100), ended(700), ended(990)])
    found = TrafficFollower(lambda: opened.append(1) or log, clock)
    totals = [sum(step.requests for step in found.window(seconds, 10, ALL).steps) for seconds in (20, 500, 20)]
    assert (totals, len(opened)) == ([1, 2, 1], 2)


def test_since(clock: FakeClock, tmp_path: Path) -> None:
    """Nothing is told of the time before a log that was rotated begins. A young log has no requests before."""
    path = tmp_path / "access.log"
    path.write_bytes(line(998))
    window = TrafficFollower(lambda: HAProxyAccessLog(path), clock).window(4, 1, ALL)
    assert [step.requests for step in window.steps] == [0, 0, 1, 0]
    path.with_name("access.log.1").write_bytes(b"")
    found = TrafficFollower(lambda: HAProxyAccessLog(path), clock)
    window = found.window(4, 1, ALL)
    assert (window.since.timestamp(), [step.requests for step in window.steps]) == (999, [0])
    path.write_bytes(b"")
    window = TrafficFollower(lambda: HAProxyAccessLog(path), clock).window(4, 1, ALL)
    assert (window.since, window.steps) == (window.end, [])


def test_the_first_look_is_bounded(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long log, only the end is read, and the window begins where that is complete."""
    path = tmp_path / "access.log"
    lines = [line(second) for second in range(900, 1000)]
    path.write_bytes(b"".join(lines))
    monkeypatch.setattr(traffic_follower, "MAX_BYTES", 10 * len(lines[-1]))
    window = TrafficFollower(lambda: HAProxyAccessLog(path), clock).window(100, 1, ALL)
    assert window.since.timestamp() == 991
    assert [step.requests for step in window.steps] == [1] * 9


def test_it_is_dropped_when_idle(clock: FakeClock) -> None:
    """A minute after the last look, the history is gone. The next look reads the log again."""
    found = follower(FakeAccessLog([], [ended(990)]), clock)
    found.window(20, 20, ALL)
    clock.advance(timedelta(seconds=59))
    found.window(20, 20, ALL)
    clock.advance(timedelta(seconds=59))
    found.drop_if_idle()
    assert found.is_following
    clock.advance(timedelta(seconds=1))
    found.drop_if_idle()
    assert not found.is_following
    assert sum(step.requests for step in found.window(MAX_SECONDS, 3600, ALL).steps) == 1


def test_a_clock_that_was_set_back(clock: FakeClock) -> None:
    """Requests of a future that has not come are not kept for it."""
    log = FakeAccessLog([], [ended(900), ended(990), ended(5000)])
    found = follower(log, clock)
    assert sum(step.requests for step in found.window(20, 20, ALL).steps) == 1
    clock.advance(timedelta(seconds=4005))
    assert sum(step.requests for step in found.window(20, 20, ALL).steps) == 0
