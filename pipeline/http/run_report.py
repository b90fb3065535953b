"""A run with what its events say: its timeline and its tests."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.run import RunDetailResponse, TestsResponse
from pipeline.http.responses.timeline import TimelineResponse
from pipeline.http.timeline.fields import number, text
from pipeline.http.timeline.timeline import timeline_of
from pipeline.store.records import Run
from pipeline.store.store import Store

_PAGE = 1000


def run_timeline(store: Store, run: Run) -> TimelineResponse:
    """Return what a run did when."""
    return timeline_of(run, store.runs.stages(run.pipeline, run.number), _events(store, run))


def run_detail(store: Store, run: Run) -> RunDetailResponse:
    """Return a run with the result of its tests."""
    report = store.events.latest_of(run.pipeline, EventKind.TEST_REPORTED, run.number)
    return RunDetailResponse.of(
        run, store.runs.stages(run.pipeline, run.number), tests=None if report is None else _tests(report)
    )


def _events(store: Store, run: Run) -> Iterator[tuple[int, Event]]:
    last = 0
    while found := store.events.after(run.pipeline, last, _PAGE, run=run.number):
        yield from found
        last = found[-1][0]


def _tests(report: Event) -> TestsResponse:
    counts = {key: number(report, key) for key in ("tests", "failed", "skipped")}
    return TestsResponse(**counts, failures=text(report, "names").splitlines())
