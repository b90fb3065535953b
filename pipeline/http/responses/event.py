"""An event, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, Field

from pipeline.event_severity import Severity, severity_of
from pipeline.events import Event
from pipeline.http.responses.body import Body, FieldValue, Timestamp


class EventResponse(Body):
    """An event, with the id from which a follower continues."""

    kind: str = Field(description="The kind of event, for programs.")
    message: str = Field(description="The message, for people.")
    pipeline: str = Field(description="The pipeline's name.")
    run: int | None = Field(description="The run's number; null for an event of the pipeline itself.")
    fields: dict[str, FieldValue] = Field(description="Details, by kind.")
    at: Timestamp = Field(description="Time of the event.")
    id: int = Field(description="The event's id. Later events have a higher one.")
    severity: Severity = Field(description="`info`, `warning` or `error`.")

    @classmethod
    def from_event(cls, number: int, event: Event) -> Self:
        """Return the response for an event of the store."""
        return cls.model_validate({**vars(event), "id": number, "severity": severity_of(event)})


class EventPageResponse(Body):
    """A page of events."""

    events: list[EventResponse] = Field(description="Newest first.")
    next: int | None = Field(description="The value of `before` for older events; null if there are none.")


class EventLine(Body):
    """An event as `--json` prints it, with its fields beside the rest."""

    model_config = ConfigDict(extra="allow")

    at: Timestamp
    pipeline: str
    run: int | None
    kind: str
    message: str

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """Return the line for an event."""
        known = {"at": event.at, "pipeline": event.pipeline, "run": event.run, "kind": event.kind}
        return cls.model_validate({**known, "message": event.message, **event.fields})


class NumberedEventLine(EventLine):
    """An event as `pipeline events --json` prints it, with the id for `--before`."""

    id: int
    severity: Severity

    @classmethod
    def of(cls, number: int, event: Event) -> Self:
        """Return the line for an event of the store."""
        return cls.model_validate(
            {**vars(EventLine.from_event(event)), **event.fields, "id": number, "severity": severity_of(event)}
        )
