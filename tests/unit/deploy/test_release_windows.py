"""Windows of one second: which release a request belongs to, which window, and what of it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alarms.histogram import Histogram
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.access import ForwardedRequest
from stages.deploy.release_windows import ReleaseTraffic, ReleaseWindows, WindowPair
from tests.unit.deploy.forwarded import BEGAN, NEW, PREVIOUS, START, TRAFFIC, request

ROLLING = ReleaseTraffic("shop.web.r", 5, "shop.web")
NOTHING = ReleaseWindow()


def windows(
    *requests: ForwardedRequest, until: float = 3, traffic: ReleaseTraffic = TRAFFIC, warm_up: float = 0
) -> list[WindowPair]:
    """Return the windows of requests, until so many seconds after the start."""
    sorter = ReleaseWindows(traffic, START, timedelta(seconds=warm_up))
    return [*sorter.add(requests), *sorter.advance(START + timedelta(seconds=until))]


def only(found: ForwardedRequest, *, traffic: ReleaseTraffic = TRAFFIC) -> WindowPair:
    """Return the window of one request that ended in the first second."""
    (pair,) = windows(found, until=2, traffic=traffic)
    return pair


def test_a_window_a_second() -> None:
    """Each second has a window of both releases, also one without requests."""
    found = windows(request(0.5), request(0.6, place=PREVIOUS), request(2.2, place=PREVIOUS), until=4)
    assert [(new.requests, previous.requests) for new, previous in found] == [(1, 1), (0, 0), (0, 1)]


def test_many_seconds_without_requests() -> None:
    """They have a few windows, and the requests after them have theirs."""
    found = windows(request(0.5), request(80_000.5), until=80_002)
    assert [new.requests for new, _ in found] == [1, *[0] * 20, 1]


def test_the_last_second_waits_for_its_records() -> None:
    """A window ends a second after its own second."""
    assert len(windows(request(0.5), until=1.9)) == 0
    assert len(windows(request(0.5), until=2)) == 1


@pytest.mark.parametrize(
    ("place", "traffic", "expected"),
    [
        (NEW, TRAFFIC, "new"),
        (PREVIOUS, TRAFFIC, "previous"),
        # Replicas of an unchanged service keep the name of an older release.
        (("shop.web", "shop.web.r2.0a1b2c"), TRAFFIC, "previous"),
        # `pipeline restart` replaces the replicas of a release by others of the same one.
        (("shop.web", "shop.web.r5.0a1b2c"), TRAFFIC, "previous"),
        # No target could be chosen.
        (("shop.web-next", None), TRAFFIC, "new"),
        (("shop.web", None), TRAFFIC, "previous"),
        (("shop.web", "other.web.r5.0a1b2c"), TRAFFIC, None),
        (("shop.web", "shop.webshop.r5.0a1b2c"), TRAFFIC, None),
        (("shop.web", "shop.web.r5.0a1b2c"), ROLLING, "new"),
        (("shop.web", "shop.web.r4.0a1b2c"), ROLLING, "previous"),
        (("shop.web", "shop.web.r50.0a1b2c"), ROLLING, "previous"),
        (("shop.web", "shop.web.rx.0a1b2c"), ROLLING, "previous"),
        (("shop.web", None), ROLLING, "new"),
    ],
)
def test_the_release_of_a_request(place: tuple[str, str | None], traffic: ReleaseTraffic, expected: str | None) -> None:
    """Groups tell the releases apart while both have one, and otherwise the names of their replicas."""
    new, previous = only(request(0.5, place=place), traffic=traffic)
    assert (new.requests, previous.requests) == {"new": (1, 0), "previous": (0, 1), None: (0, 0)}[expected]


def test_a_test_listener() -> None:
    """Requests by the listener for test traffic belong to neither release."""
    traffic = replace(TRAFFIC, test_port=8081)
    assert only(request(0.5, listener=8081), traffic=traffic) == (NOTHING, NOTHING)


times = Histogram.from_times


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (request(0.5), ReleaseWindow(requests=1, response_times=times([0.02]))),
        (request(0.5, status=404), ReleaseWindow(requests=1, response_times=times([0.02]))),
        (request(0.5, status=500), ReleaseWindow(requests=1, target_5xx=1, response_times=times([0.02]))),
        (
            request(0.5, status=502, is_from_target=False, answered=False, error="TargetClosedConnection"),
            ReleaseWindow(requests=1, elb_5xx=1),
        ),
        (
            request(0.5, status=503, is_from_target=False, answered=False, connect_errors=4),
            ReleaseWindow(requests=1, elb_5xx=1, connection_errors=4),
        ),
        (
            request(0.5, place=("shop.web-next", None), status=503, is_from_target=False, answered=False),
            ReleaseWindow(requests=1, elb_5xx=1),
        ),
        # A retry that succeeded is no error of the client, and a connection error of the release.
        (
            request(0.5, connect_errors=2),
            ReleaseWindow(requests=1, connection_errors=2, response_times=times([0.02])),
        ),
        # A client that left has waited for this long at least.
        (
            request(0.5, status=460, is_from_target=False, took=0.4),
            ReleaseWindow(requests=1, response_times=times([0.4])),
        ),
        # A client that left before its request was sent says nothing of the release.
        (request(0.5, status=460, is_from_target=False, answered=False), NOTHING),
        # The client did not send its body in time.
        (request(0.5, status=408, is_from_target=False, answered=False, error="ClientTimeout"), NOTHING),
        # The balancer ended it with the target's deregistration delay.
        (
            request(0.5, status=503, is_from_target=False, answered=False, error="DeregistrationDelayElapsed"),
            NOTHING,
        ),
        (request(0.5, status=None, is_from_target=False, answered=False), NOTHING),
        # A websocket and a gRPC call have no response time that says anything.
        (request(0.5, status=101), ReleaseWindow(requests=1)),
        (request(0.5, is_grpc=True), ReleaseWindow(requests=1)),
        (request(0.5, status=503, is_grpc=True), ReleaseWindow(requests=1, target_5xx=1)),
    ],
)
def test_what_counts(found: ForwardedRequest, expected: ReleaseWindow) -> None:
    """Errors are those of the target or of the balancer in its place, and not those of clients."""
    assert only(found) == (expected, NOTHING)


def test_requests_from_before_the_start() -> None:
    """A request that arrived before the start counts for neither release, although it ends later."""
    early = [request(0.5, took=0.6, place=place) for place in (NEW, PREVIOUS)]
    assert windows(*early, until=2) == [(NOTHING, NOTHING)]


def test_warm_up() -> None:
    """Until the release is warm, errors count and response times do not, for both releases."""
    found = windows(
        *(request(at, place=place, status=500) for at in (0.5, 2.5) for place in (NEW, PREVIOUS)), until=4, warm_up=2
    )
    assert [(pair[0].target_5xx, pair[1].target_5xx) for pair in found] == [(1, 1), (0, 0), (1, 1)]
    assert [(pair[0].response_times.total, pair[1].response_times.total) for pair in found] == [(0, 0), (0, 0), (1, 1)]


def test_a_late_record() -> None:
    """A record that comes after its window is over counts in the current one."""
    found = windows(request(0.5), request(2.5), request(0.9, status=500), until=4)
    assert [new.requests for new, _ in found] == [1, 0, 2]


@pytest.mark.parametrize("offset", [-3600, -90, 90_000, 9e8])
def test_a_wall_clock_that_was_set(offset: float) -> None:
    """Windows go on at the new time, and none is left open."""
    sorter = ReleaseWindows(TRAFFIC, START, timedelta(0))
    found = [*sorter.add([request(0.5)]), *sorter.advance(START + timedelta(seconds=2))]
    later = [replace_times(request(2.5), offset), replace_times(request(3.5), offset)]
    found += [*sorter.add(later), *sorter.advance(START + timedelta(seconds=offset + 6))]
    # Before the start, nothing counts.
    assert sum(new.requests for new, _ in found) == (1 if offset < 0 else 3)
    assert len(found) < 12


def test_a_damaged_time() -> None:
    """One line with a time of long after now does not stop the windows."""
    far = replace_times(request(1.5), 9e8)
    found = windows(request(0.5), far, request(2.5), until=5)
    assert sum(new.requests for new, _ in found) == 3
    assert len(found) < 12


def replace_times(found: ForwardedRequest, seconds: float) -> ForwardedRequest:
    moved = round(seconds * 1000)
    return found._replace(arrived=found.arrived + moved, ended=found.ended + moved)


@given(
    st.lists(
        st.tuples(st.integers(0, 8000), st.booleans(), st.sampled_from([200, 500, 101]), st.integers(1, 900)),
        max_size=40,
    ),
    st.lists(st.integers(0, 9000), max_size=6),
)
def test_reads_do_not_matter(drawn: list[tuple[int, bool, int, int]], looks: list[int]) -> None:
    """However the log is divided into reads, the windows are the same."""
    records = [
        request(ended / 1000, place=NEW if is_new else PREVIOUS, status=status, took=took / 1000)
        for ended, is_new, status, took in sorted(drawn)
    ]
    once = windows(*records, until=12)
    sorter, found, read = ReleaseWindows(TRAFFIC, START, timedelta(0)), list[WindowPair](), 0
    for look in [*sorted(looks), 12_000]:
        # Each record is written as soon as its request ends.
        written = [record for record in records[read:] if record.ended - BEGAN <= look]
        read += len(written)
        found += [*sorter.add(written), *sorter.advance(START + timedelta(milliseconds=look))]
    assert found == once
