"""The timeline of a run, from its row, its stages and its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

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


class Timeline:
    """The timeline of a run, from its events as they come."""

    def __init__(self, started_at: datetime) -> None:
        self._services, self._steps, self._waits = Services(started_at), Steps(), Waits()
        self._marks: list[TimelineMark] = []
        self.last_event = 0
        """The id of the last event, 0 before the first."""

    def add(self, number: int, event: Event) -> None:
        """Take the next event with its id."""
        for part in (self._services, self._steps, self._waits):
            part.on_event(event)
        if event.kind in _MARKS:
            by = optional_text(event, "by")
            self._marks.append(TimelineMark(at=event.at, kind=event.kind, text=event.message, by=by))
        self.last_event = number

    def response(self, run: Run, stages: Sequence[StageRecord]) -> TimelineResponse:
        """Return the timeline. `stages` are those of the run."""
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
            steps=self._steps.responses(),
            services=self._services.responses(),
            waits=self._waits.responses(),
            marks=self._marks,
            last_event=self.last_event,
        )


def timeline_of(run: Run, stages: Sequence[StageRecord], events: Iterable[tuple[int, Event]]) -> TimelineResponse:
    """Return the timeline of a run. `events` are all of its events with their ids, oldest first."""
    timeline = Timeline(run.started_at)
    for number, event in events:
        timeline.add(number, event)
    return timeline.response(run, stages)
