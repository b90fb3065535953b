"""What every access log guarantees to the reader of forwarded requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.balancer.access import AccessLog, ForwardedRequest, LoggedRequest, LogPage, LogRecord
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.log_filter import LogFilter
from pipeline.testing.fakes.access_log import FakeAccessLog
from tests.support.access_log import raw, record

HOME, ALTERNATE = "shop.web", "shop.web-next"
BOTH = (HOME, ALTERNATE)
GET = LoggedRequest("GET", "/a?b", "Shop.example.com", "curl/8.5", "192.0.2.7", 8080, False)
BEGAN = 1_795_522_239_600


@dataclass
class Log:
    """A log, what lets a request end so many seconds after the first one, and the bytes that a request takes."""

    log: AccessLog
    end: Callable[[int, str], None]
    size: int

    def page(self, wanted: LogFilter, limit: int, before: str | None = None, size: int | None = None) -> LogPage:
        """Return a page of which at most `size` requests are read."""
        return self.log.page(wanted, limit, before, None if size is None else size * self.size)

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
        records: list[LogRecord] = []

        def end_in_memory(second: int, group: str) -> None:
            requests.append(_request(second, group))
            gets.append((group, GET))
            records.append(record(_fields(second, group)))

        return Log(FakeAccessLog(records, requests, gets), end_in_memory, 1)
    path = tmp_path / "access.log"

    def end(second: int, group: str) -> None:
        with path.open("ab") as file:
            file.write(raw(_fields(second, group)))

    return Log(HAProxyAccessLog(path), end, len(raw(_fields(1, HOME))))


def _fields(second: int, group: str) -> dict[str, str]:
    """Return the fields of a request. Those to the alternate group are slower."""
    response = "400" if group == ALTERNATE else "40"
    return {"backend": group, "accepted_seconds": str(1_795_522_239 + second), "response": response}


def _seconds(page: LogPage) -> list[int]:
    return [int(found.ended.timestamp() - BEGAN / 1000) for _, found in page.records]


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
        response_time=400 if group == ALTERNATE else 40,
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


def test_all_groups(log: Log) -> None:
    """Without a choice of groups, the requests to all of them come."""
    log.end(1, HOME)
    log.end(2, ALTERNATE)
    log.end(3, "blog.web")
    assert [request.group for request in log.log.forwarded(None)] == [HOME, ALTERNATE, "blog.web"]
    assert list(log.log.forwarded(None)) == []


@pytest.mark.parametrize(
    ("since", "size", "first", "is_complete"), [(2, 9, 2, True), (0, 9, 1, True), (1, 1, 3, False)]
)
def test_rewind_that_is_bounded(log: Log, since: int, size: int, first: int, *, is_complete: bool) -> None:
    """It goes back as far as it may, and says whether later requests may be missing."""
    for second in (1, 2, 3):
        log.end(second, HOME)
    to = datetime.fromtimestamp((BEGAN + 546) / 1000 + since, UTC)
    assert log.log.rewind(to, size * log.size) == is_complete
    assert [second for second, _ in log.read()] == [*range(first, 4)]


def test_pages(log: Log) -> None:
    """Each page continues before the previous one, also while requests end, and the last one says so."""
    for second in range(1, 6):
        log.end(second, HOME)
    first = log.page(LogFilter(), 2)
    log.end(6, HOME)
    middle = log.page(LogFilter(), 2, first.next)
    last = log.page(LogFilter(), 2, middle.next)
    assert [_seconds(page) for page in (first, middle, last)] == [[5, 4], [3, 2], [1]]
    assert last.next is None
    # A page continues before any record.
    assert _seconds(log.page(LogFilter(), 9, first.records[0][0])) == [4, 3, 2, 1]


def test_pages_with_a_filter(log: Log) -> None:
    """Only what passes counts for the limit. Without it, all are read."""
    for second in range(1, 6):
        log.end(second, HOME if second % 2 else ALTERNATE)
    slow = LogFilter(slower_than=0.1)
    first = log.page(slow, 1)
    second = log.page(slow, 1, first.next)
    assert [_seconds(first), _seconds(second), _seconds(log.page(slow, 9))] == [[4], [2], [4, 2]]
    assert (log.page(slow, 9).next, _seconds(log.page(LogFilter(group=HOME), 9))) == (None, [5, 3, 1])


def test_a_page_that_is_bounded(log: Log) -> None:
    """A page that has read as much as it may says where the next one continues, and how far it came."""
    log.end(1, ALTERNATE)
    for second in range(2, 6):
        log.end(second, HOME)
    wanted = LogFilter(group=ALTERNATE)
    found = log.page(wanted, 9, size=2)
    assert (found.records, found.since) == ([], datetime.fromtimestamp((BEGAN + 546) / 1000 + 4, UTC))
    assert found.next is not None
    rest = log.page(wanted, 9, found.next)
    assert (_seconds(rest), rest.next) == ([1], None)


def test_a_text_that_is_no_position(log: Log) -> None:
    """It is refused, instead of being taken for the end."""
    with pytest.raises(ValueError, match="is not the position of an entry"):
        log.page(LogFilter(), 1, "yesterday")


def test_an_empty_log(log: Log) -> None:
    """It has one page, which is empty."""
    assert log.page(LogFilter(), 9) == LogPage([], None, None)
