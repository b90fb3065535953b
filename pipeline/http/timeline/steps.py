"""The steps within the stages of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.timeline import TimelineStep
from pipeline.http.timeline.fields import text

_STARTS = {
    EventKind.BUILD_STARTED: "build",
    EventKind.TEST_STARTED: "tests",
    EventKind.IMAGE_PUSHING: "push",
    EventKind.RELEASE_COMMAND_STARTED: "release command",
    EventKind.HOOK_STARTED: "hook",
}
_ENDS = {
    EventKind.BUILD_FINISHED: "build",
    EventKind.BUILD_RETRY: "build",
    EventKind.TEST_FINISHED: "tests",
    EventKind.TEST_RETRY: "tests",
    EventKind.IMAGE_PUSHED: "push",
    EventKind.RELEASE_COMMAND_FINISHED: "release command",
    EventKind.HOOK_FINISHED: "hook",
}
_OVER = (EventKind.STAGE_FINISHED, EventKind.STAGE_FAILED, EventKind.RUN_INTERRUPTED, EventKind.RUN_FINISHED)


@dataclass
class _Step:
    stage: str
    name: str
    started_at: datetime
    finished_at: datetime | None = None


class Steps:
    """The steps of a run, from its events in their order. What does not end by itself ends with its stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._steps: list[_Step] = []

    def on_event(self, event: Event) -> None:
        """Take an event."""
        kind = event.kind
        if kind == EventKind.STAGE_STARTED:
            self._stage = text(event, "stage")
        elif kind == EventKind.RUN_STARTED:
            # The stages of an earlier attempt are not shown either.
            self._steps.clear()
        elif kind in _STARTS:
            name = _name(_STARTS[EventKind(kind)], event)
            self._end(event.at, name)
            self._steps.append(_Step(self._stage, name, event.at))
        elif kind in _ENDS:
            self._end(event.at, _name(_ENDS[EventKind(kind)], event))
        elif kind in _OVER:
            self._end(event.at)

    def _end(self, at: datetime, name: str | None = None) -> None:
        """End the step of a name, or all."""
        for step in self._steps:
            if step.finished_at is None and name in (None, step.name):
                step.finished_at = max(at, step.started_at)

    def responses(self) -> list[TimelineStep]:
        """Return the steps in the order of their starts."""
        return [TimelineStep.model_validate(step) for step in self._steps]


def _name(name: str, event: Event) -> str:
    if name != "hook":
        return name
    return f"{text(event, 'hook') or name} of {text(event, 'service')}".removesuffix(" of ")
