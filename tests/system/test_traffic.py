"""The traffic and the pages of the access log of a real HAProxy."""

from __future__ import annotations

import string
from datetime import datetime

from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.telemetry.traffic_follower import TrafficFollower
from pipeline.base.clock import SYSTEM
from pipeline.http.queries import AccessLogQuery, TrafficQuery
from pipeline.http.responses.access_log import AccessLogResponse
from pipeline.http.traffic_report import TrafficReports
from pipeline.store.records import Deployment
from tests.support.access_log import written
from tests.support.waiting import until
from tests.system.bench import GROUP, OWNER, Bench

# What a client may send in a path and HAProxy takes. It writes some of it in another form.
_PATH = "/" + "".join(char for char in map(chr, range(33, 127)) if char not in '?#"<>\\^`{|}' + string.whitespace)


def _no_deployments(_: str | None, __: datetime, ___: datetime) -> list[Deployment]:
    return []


def _reports(bench: Bench) -> TrafficReports:
    return TrafficReports(bench.balancer, TrafficFollower(bench.balancer.access_log, SYSTEM), _no_deployments)


def _paths(found: AccessLogResponse) -> list[str]:
    entries = [entry.as_data()["request"].split(" ")[1] for entry in found.entries]
    return ["/" + entry.split("/", 3)[3] for entry in entries]


def _serve(bench: Bench, *paths: str) -> None:
    """Send requests, and wait until they are in the log."""
    for path in paths:
        bench.get(path)
    log = bench.balancer.directory / "access.log"
    # The threads of HAProxy write their lines in any order.
    until(lambda: all(path.encode()[:20] in written(log) for path in paths), "all lines are written")


def test_traffic(bench: Bench) -> None:
    """Requests are counted in the second in which they ended, by the names of the pipeline and the group."""
    bench.serve("a")
    reports = _reports(bench)
    _serve(bench, "/first")
    before = reports.traffic(TrafficQuery(seconds=600, step=600))
    _serve(bench, "/a", "/b", "/c")
    query = TrafficQuery(pipeline=OWNER, group=f"{OWNER}.{GROUP}", seconds=600, step=600)
    until(lambda: sum(step.requests for step in reports.traffic(query).steps) >= 3, "the second is over")
    found = reports.traffic(query)
    assert found.groups == [f"{OWNER}.{GROUP}"]
    assert found.end > before.end
    assert all(step.p99 is not None for step in found.steps if step.requests)
    assert sum(step.errors_4xx + step.errors_5xx for step in found.steps) == 0
    assert reports.traffic(TrafficQuery(pipeline="other")).steps[-1].requests == 0


def test_filters_of_the_access_log(bench: Bench) -> None:
    """A filter finds the requests as clients have sent them, also those that HAProxy writes in another form."""
    bench.serve("a")
    _serve(bench, "/api/1?x=y", _PATH, "/other", "/api/2")
    reports = _reports(bench)
    assert _paths(reports.access_log(AccessLogQuery(path="/api/*"))) == ["/api/2", "/api/1?x=y"]
    literal = _PATH.replace("*", r"\*")
    assert _paths(reports.access_log(AccessLogQuery(path=literal))) == [_PATH]
    assert len(reports.access_log(AccessLogQuery(pipeline=OWNER, method="get", status="2XX")).entries) == 4
    assert reports.access_log(AccessLogQuery(status="5XX")).entries == []
    target = reports.access_log(AccessLogQuery(limit=1)).entries[0].as_data()["target:port"]
    assert len(reports.access_log(AccessLogQuery(target=target, group=f"{OWNER}.{GROUP}")).entries) == 4


def test_pages_over_a_rotation(bench: Bench) -> None:
    """Pages continue where they were when the log is rotated while HAProxy writes to it."""
    bench.serve("a")
    _serve(bench, *(f"/before/{number}" for number in range(5)))
    reports = _reports(bench)
    first = reports.access_log(AccessLogQuery(limit=2))
    rotate(bench.balancer.directory / "access.log", 0, 2**20)
    _serve(bench, "/after")
    second = reports.access_log(AccessLogQuery(limit=9, before=first.next))
    assert _paths(first) + _paths(second) == [f"/before/{number}" for number in range(4, -1, -1)]
    newest = reports.access_log(AccessLogQuery(limit=9))
    assert _paths(newest) == ["/after", *(f"/before/{number}" for number in range(4, -1, -1))]
