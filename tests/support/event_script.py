"""The events of a run, written with the seconds at which they were emitted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.event_kinds import EventKind
from pipeline.events import Event, Events, Value

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time of a second of the run."""
    return START + timedelta(seconds=seconds)


class EventScript:
    """The events of run 1 of `shop`, in the order in which they are added. A kind has no other fields than its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._source = Events("shop", 1)
        self._source.subscribe(self.events.append)

    def add(self, seconds: float, kind: EventKind, message: str = "", **fields: Value) -> None:
        """Add an event."""
        self._source.emit(kind, message or str(kind), **fields)
        event = self.events.pop()
        self.events.append(Event(event.kind, event.message, event.pipeline, event.run, event.fields, at(seconds)))

    def target(self, seconds: float, kind: EventKind, target: str, release: int, service: str = "web") -> None:
        """Add an event of a target."""
        self.add(seconds, kind, target=target, release=release, service=service, healthy=0)

    def numbered(self) -> list[tuple[int, Event]]:
        """Return the events with their ids, from 1."""
        return list(enumerate(self.events, start=1))
