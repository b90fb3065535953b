"""The timeline of a run, from its row, its stages and its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.timeline import TimelineMark, TimelineResponse, TimelineStage
from pipeline.http.timeline.fields import optional_text
from pipeline.http.timeline.services import Services
from pipeline.http.timeline.steps import Steps
from pipeline.http.timeline.waits import Waits
from pipeline.store.records import Run, StageRecord

_MARKS = (
    EventKind.RUN_APPROVED,
    EventKind.RUN_REJECTED,
    EventKind.RUN_INTERRUPTED,
    EventKind.BUILD_RETRY,
    EventKind.TEST_RETRY,
    EventKind.BUILD_WARNING,
    EventKind.HOST_DRAINED,
    EventKind.SCALING_SET,
    EventKind.DEPLOYMENT_RESUMED,
    EventKind.DEPLOYMENT_WARNING,
    EventKind.DEPLOYMENT_CONTINUED,
    EventKind.DEPLOYMENT_FAILED,
    EventKind.ROLLBACK_STARTED,
    EventKind.SHIFT_RETURNED,
    EventKind.TARGET_NOT_HEALTHY,
    EventKind.TARGET_REQUESTS_ABORTED,
    EventKind.TARGET_FAILED,
)


def timeline_of(run: Run, stages: Sequence[StageRecord], events: Iterable[tuple[int, Event]]) -> TimelineResponse:
    """Return the timeline of a run. `events` are all of its events with their ids, oldest first."""
    services, steps, waits = Services(run.started_at), Steps(), Waits()
    marks: list[TimelineMark] = []
    last = 0
    for number, event in events:
        for part in (services, steps, waits):
            part.on_event(event)
        if event.kind in _MARKS:
            by = optional_text(event, "by")
            marks.append(TimelineMark(at=event.at, kind=event.kind, text=event.message, by=by))
        last = number
    return TimelineResponse(
        pipeline=run.pipeline,
        run=run.number,
        kind=run.kind,
        state=run.state,
        by=run.by,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        stages=[TimelineStage.model_validate(stage) for stage in stages],
        steps=steps.responses(),
        services=services.responses(),
        waits=waits.responses(),
        marks=marks,
        last_event=last,
    )
