"""The recorder of a load counts results in their phase."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.testing.load.report import Latencies, LoadReport, Recorder


@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=200))
def test_quantiles_are_within_two_per_cent(values: list[float]) -> None:
    """A quantile is within two per cent of the value from a sorted list."""
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    for share in (0.5, 0.99, 1.0):
        index = max(0, -(-len(values) * share // 1) - 1)
        exact = sorted(values)[int(index)] * 1000
        assert abs(latencies.quantile(share) - exact) <= 0.02 * exact + 0.01


def test_a_gap_is_the_time_without_a_success() -> None:
    """A failure does not end a gap, and a gap that still lasts counts."""
    recorder = Recorder(0.0)
    for moment in (0.1, 0.2, 0.9):
        recorder.succeeded(recorder.sent(), moment - 0.01, moment, "1")
    recorder.failed(recorder.sent(), 0.5, "GET", "status 503")
    assert recorder.report(1.0).longest_gap == 700.0
    assert recorder.report(2.5).longest_gap == 1600.0


def test_a_request_belongs_to_the_phase_it_was_sent_in() -> None:
    """A request belongs to the phase it was sent in, also if its response comes later."""
    recorder = Recorder(0.0)
    recorder.mark("before")
    early = recorder.sent()
    recorder.mark("during")
    late = recorder.sent()
    recorder.succeeded(early, 0.0, 1.0, "1")
    recorder.failed(late, 1.5, "POST", "status 503")
    report = recorder.report(2.0)
    assert [(p.name, p.sent, p.failed) for p in report.phases] == [("before", 1, 0), ("during", 1, 1)]
    assert [(f.phase, f.method, f.reason) for f in report.failures] == [("during", "POST", "status 503")]


def test_a_report_goes_through_json() -> None:
    """A report survives the conversion to JSON and back."""
    recorder = Recorder(0.0)
    recorder.failed(recorder.sent(), 0.5, "GET", "status 503")
    report = recorder.report(1.0)
    assert LoadReport.from_data(report.as_data()) == report
