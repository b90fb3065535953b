"""What every access log guarantees to the reader of forwarded requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.balancer.access import AccessLog, ForwardedRequest, LoggedRequest
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.testing.fakes.access_log import FakeAccessLog
from tests.support.access_log import raw

HOME, ALTERNATE = "shop.web", "shop.web-next"
BOTH = (HOME, ALTERNATE)
GET = LoggedRequest("GET", "/a?b", "Shop.example.com", "curl/8.5", "192.0.2.7", 8080, False)
BEGAN = 1_795_522_239_600


@dataclass
class Log:
    """A log, and what lets a request end so many seconds after the first one."""

    log: AccessLog
    end: Callable[[int, str], None]

    def repeatable(self, group: str = HOME) -> list[LoggedRequest]:
        """Return the requests to a group since the previous call that can be sent again."""
        return list(self.log.repeatable(group, lambda: True))

    def read(self, *groups: str) -> list[tuple[int, str]]:
        """Return the seconds and the groups of the requests since the previous call."""
        found = self.log.forwarded(groups or BOTH)
        return [((request.ended - BEGAN) // 1000, request.group) for request in found]


@pytest.fixture(params=["fake", "haproxy"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    if request.param == "fake":
        requests: list[ForwardedRequest] = []
        gets: list[tuple[str, LoggedRequest]] = []

        def end_in_memory(second: int, group: str) -> None:
            requests.append(_request(second, group))
            gets.append((group, GET))

        return Log(FakeAccessLog([], requests, gets), end_in_memory)
    path = tmp_path / "access.log"

    def end(second: int, group: str) -> None:
        with path.open("ab") as file:
            file.write(raw(backend=group, accepted_seconds=str(1_795_522_239 + second)))

    return Log(HAProxyAccessLog(path), end)


def _request(second: int, group: str) -> ForwardedRequest:
    arrived = BEGAN + second * 1000
    return ForwardedRequest(
        arrived=arrived,
        ended=arrived + 546,
        listener=8080,
        group=group,
        target="web-1",
        status=200,
        is_from_target=True,
        response_time=40,
        connect_errors=0,
        is_grpc=False,
        error=None,
    )


def test_a_request_is_the_same(log: Log) -> None:
    """Every log has all fields of a request."""
    log.end(0, HOME)
    assert list(log.log.forwarded(BOTH)) == [_request(0, HOME)]


def test_requests_since_the_previous_call(log: Log) -> None:
    """Each request comes once, in the order of its end."""
    assert log.read() == []
    log.end(1, HOME)
    log.end(2, ALTERNATE)
    assert log.read() == [(1, HOME), (2, ALTERNATE)]
    log.end(3, HOME)
    assert log.read() == [(3, HOME)]
    assert log.read() == []


def test_wanted_groups(log: Log) -> None:
    """Other groups are left out, also those whose names begin with the same letters. They do not come later."""
    log.end(1, HOME)
    log.end(2, ALTERNATE)
    log.end(3, "shop.website")
    assert log.read(HOME) == [(1, HOME)]
    assert log.read() == []


def test_skip(log: Log) -> None:
    """After `skip`, only later requests come."""
    log.end(1, HOME)
    log.log.skip()
    log.end(2, HOME)
    assert log.read() == [(2, HOME)]


@pytest.mark.parametrize(("since", "first"), [(0, 1), (2, 2), (3, 3), (9, 4)])
def test_rewind(log: Log, since: int, first: int) -> None:
    """After `rewind`, requests come that ended at this time or later, whatever was read before."""
    for second in (1, 2, 3):
        log.end(second, HOME)
    assert len(log.read()) == 3
    log.log.rewind(datetime.fromtimestamp((BEGAN + 546) / 1000 + since, UTC))
    log.end(4, HOME)
    assert log.read() == [(second, HOME) for second in range(first, 5)]
    assert log.read() == []


def test_requests_that_can_be_sent_again(log: Log) -> None:
    """Those of one group since the previous call, without those that were skipped or not chosen."""
    log.end(1, HOME)
    log.log.skip()
    assert log.repeatable() == []
    log.end(2, HOME)
    log.end(3, ALTERNATE)
    assert log.repeatable() == [GET]
    log.end(4, HOME)
    assert list(log.log.repeatable(HOME, lambda: False)) == []
    assert log.repeatable() == []
