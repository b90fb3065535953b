"""What a run waited for: an approval, its turn in a stage, or a promotion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.timeline import TimelineWait
from pipeline.http.timeline.fields import optional_text

_ENDS_ALL = (EventKind.RUN_FINISHED, EventKind.RUN_INTERRUPTED, EventKind.RUN_CANCELLED, EventKind.RUN_SUPERSEDED)
_DECISIONS = (EventKind.RUN_APPROVED, EventKind.RUN_REJECTED)


@dataclass
class _Wait:
    what: str
    text: str
    service: str | None
    started_at: datetime
    finished_at: datetime | None = None
    by: str | None = None


class Waits:
    """The waits of a run, from its events in their order."""

    def __init__(self) -> None:
        self._waits: list[_Wait] = []

    def on_event(self, event: Event) -> None:
        """Take an event."""
        service = optional_text(event, "service")
        if event.kind == EventKind.RUN_WAITING:
            self._end(event.at, None, "approval", "stage")
            what = "approval" if event.fields.get("waits_for") == "approval" else "stage"
            self._waits.append(_Wait(what, event.message, None, event.at))
        elif event.kind in _DECISIONS or event.kind == EventKind.STAGE_STARTED:
            self._end(event.at, optional_text(event, "by"), "approval", "stage")
        elif event.kind == EventKind.DEPLOYMENT_WAITING:
            self._waits.append(_Wait("promote", event.message, service, event.at))
        elif event.kind == EventKind.DEPLOYMENT_CONTINUED:
            self._end(event.at, optional_text(event, "by"), "promote", service=service)
        elif event.kind == EventKind.DEPLOYMENT_FAILED:
            self._end(event.at, optional_text(event, "by"), "promote")
        elif event.kind in _ENDS_ALL:
            self._end(event.at, None, "approval", "stage", "promote")

    def _end(self, at: datetime, by: str | None, *whats: str, service: str | None = None) -> None:
        for wait in self._waits:
            if wait.finished_at is None and wait.what in whats and service in (None, wait.service):
                wait.finished_at, wait.by = max(at, wait.started_at), by

    def responses(self) -> list[TimelineWait]:
        """Return the waits in the order of their starts."""
        return [TimelineWait.model_validate(wait) for wait in self._waits]
