"""The traffic of the last seconds, read from the access log once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.telemetry.recent_traffic import RecentTraffic
from pipeline.balancer.telemetry.traffic import RuleUse
from pipeline.testing.fakes.clock import FakeClock
from tests.support.access_log import NO_TARGET, OWN, raw

# A request of `raw` ends 0.57 seconds after it was accepted.
SECOND = 1_795_522_000
WEB, USE = ("shop.web", "10.1.0.3:8080"), RuleUse("app/edge/shop", 8080, 10, "shop.web")


def at(second: int, **more: str) -> bytes:
    """Return the line of a request that ended within a second after `SECOND`."""
    return raw(more, accepted_seconds=str(SECOND + second), accepted_milliseconds="0")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.fromtimestamp(SECOND + 20.9, UTC))


def test_the_last_seconds_count(tmp_path: Path, clock: FakeClock) -> None:
    """Older requests do not, and rates are those of the time that is covered."""
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(at(second) for second in (1, 10, 11, 15, 20)))
    found = RecentTraffic(lambda: HAProxyAccessLog(log), clock).read()
    assert (found.requests[WEB], round(found.seconds, 3)) == (3, 9.9)
    assert found.rate(*WEB) == pytest.approx(3 / 9.9)
    assert found.rule_rate("app/edge/shop", 8080, 10, ["shop.web", None]) == pytest.approx(3 / 9.9)


def test_each_request_is_read_once(tmp_path: Path, clock: FakeClock) -> None:
    """A later view adds what came since, and takes away what has become too old."""
    log = tmp_path / "access.log"
    log.write_bytes(at(11) + at(12, status="502") + at(20))
    recent = RecentTraffic(lambda: HAProxyAccessLog(log), clock)
    assert recent.read().errors == {WEB: 1}
    with log.open("ab") as file:
        file.write(at(21) * 2)
    clock.advance(timedelta(seconds=2))
    found = recent.read()
    assert (found.requests, found.errors, found.rules) == ({WEB: 3}, {}, {USE: 3})
    clock.advance(timedelta(seconds=9))
    assert recent.read().requests == {}


def test_after_a_pause_the_log_is_read_from_ten_seconds_ago(tmp_path: Path, clock: FakeClock) -> None:
    """Nothing counts twice, and what came in the pause is not read."""
    log = tmp_path / "access.log"
    log.write_bytes(at(20))
    recent = RecentTraffic(lambda: HAProxyAccessLog(log), clock)
    assert recent.read().requests == {WEB: 1}
    with log.open("ab") as file:
        file.write(at(100) * 3 + at(1015) * 2)
    clock.advance(timedelta(seconds=1000))
    assert recent.read().requests == {WEB: 2}


def test_a_clock_that_is_set_back(tmp_path: Path, clock: FakeClock) -> None:
    """Requests that ended later than now do not count."""
    log = tmp_path / "access.log"
    log.write_bytes(at(500) + at(20))
    assert RecentTraffic(lambda: HAProxyAccessLog(log), clock).read().requests == {WEB: 1}


def test_requests_without_a_target(tmp_path: Path, clock: FakeClock) -> None:
    """Count for their rule: those that no target could take, and the balancer's own responses."""
    log = tmp_path / "access.log"
    own = {**OWN, "backend": "listener.8080.10", "rule": "5", "status": "204"}
    log.write_bytes(at(20, **{**NO_TARGET, "termination": "SC--"}) + at(20, **own))
    found = RecentTraffic(lambda: HAProxyAccessLog(log), clock).read()
    assert found.requests == {}
    assert found.rules == {USE: 1, RuleUse("app/edge/shop", 8080, 5, None): 1}
