"""The targets of failed requests."""

from __future__ import annotations

from pipeline.testing.fakes.access_log import FakeAccessLog
from pipeline.testing.load.failed_targets import failed_targets
from tests.support.access_log import NO_TARGET, record


def test_only_failed_requests_count_and_each_once() -> None:
    """A response of the application below 500 is none. Without a target, the address is empty."""
    failed = [{"status": "502", "target_status": "-"}, {**NO_TARGET, "status": "503"}, {"status": "500"}]
    fine = [{}, {"status": "404", "target_status": "404"}]
    log = FakeAccessLog([record(fields) for fields in (*failed, *fine)])
    assert failed_targets(log) == ["10.1.0.3", "", "10.1.0.3"]
    assert failed_targets(log) == []
