"""A run with the result of its tests, from its events."""

from __future__ import annotations

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.run import RunDetailResponse, TestsResponse
from pipeline.http.timeline.fields import number, text
from pipeline.store.records import Run
from pipeline.store.store import Store


def run_detail(store: Store, run: Run) -> RunDetailResponse:
    """Return a run with the result of its tests."""
    report = store.events.latest_of(run.pipeline, EventKind.TEST_REPORTED, run.number)
    return RunDetailResponse.of(
        run, store.runs.stages(run.pipeline, run.number), tests=None if report is None else _tests(report)
    )


def _tests(report: Event) -> TestsResponse:
    counts = {key: number(report, key) for key in ("tests", "failed", "skipped")}
    return TestsResponse(**counts, failures=text(report, "names").splitlines())
