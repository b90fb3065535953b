"""A page of events, newest first."""

from __future__ import annotations

from pipeline.event_severity import kinds_named
from pipeline.http.queries import EventFilterQuery, EventPageQuery
from pipeline.http.responses.event import EventPageResponse, EventResponse
from pipeline.store.event_filter import EventFilter
from pipeline.store.store import Store


def event_filter(query: EventFilterQuery, pipeline: str | None, run: int | None = None) -> EventFilter:
    """Return the filter of a query, for the events of a pipeline or of all."""
    return EventFilter(pipeline, run, kinds_named(query.kind), query.severity)


def event_page(store: Store, pipeline: str | None, query: EventPageQuery) -> EventPageResponse:
    """Return a page of the events of a pipeline, or of all."""
    # One more shows whether there are older ones.
    found = store.events.older(event_filter(query, pipeline, query.run), query.before, query.limit + 1)
    shown = [EventResponse.from_event(number, event) for number, event in found[: query.limit]]
    return EventPageResponse(events=shown, next=shown[-1].id if len(found) > len(shown) else None)
