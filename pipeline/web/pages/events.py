"""The page Events: what has happened, with filters. Older events are on a page that does not change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.event_kinds import EventKind
from pipeline.event_severity import SEVERITIES
from pipeline.http.event_page import event_page
from pipeline.http.queries import EventPageQuery, QueryMistake, parse_query
from pipeline.http.responses.event import EventPageResponse
from pipeline.web.filters import address, given_filters
from pipeline.web.page import Page, Parts, ViewContext

_FILTERS = ("pipeline", "kind", "severity", "run")
_LIMIT = 100
_NOUNS = sorted({kind.partition(".")[0] for kind in EventKind})


def _view(context: ViewContext) -> Parts:
    filters = given_filters(context.arguments, _FILTERS)
    choices = {"pipelines": list(context.reports.control.supervisors), "nouns": _NOUNS, "severities": SEVERITIES}
    form = context.part("events/form.html", filters=filters, **choices)
    try:
        found = _found(context, given_filters(context.arguments, (*_FILTERS, "before")))
    except (ConfigError, QueryMistake) as mistake:
        return {"filters": form, "events": context.part("filter_mistake.html", part="events", mistake=str(mistake))}
    older = address("/events/older", filters, before=found.next) if found.next else None
    latest = address("/events", filters) if "before" in context.arguments else None
    managed = choices["pipelines"]
    events = context.part("events/table.html", events=found.events, older=older, latest=latest, managed=managed)
    return {"filters": form, "events": events}


def _found(context: ViewContext, given: Mapping[str, str]) -> EventPageResponse:
    fields: dict[str, Any] = {**given, "limit": _LIMIT}
    pipeline = fields.pop("pipeline", None)
    if pipeline is not None:
        context.reports.control.supervisor(pipeline)
    if "kind" in given:
        fields["kind"] = given["kind"].replace(",", " ").split()
    if "run" in given and pipeline is None:
        raise ConfigError("run: choose its pipeline too")
    return event_page(context.reports.store, pipeline, parse_query(EventPageQuery, fields))


PAGES = (
    Page("/events", "events", "Events", "events/page.html", _view, label="Events", rank=80, query=_FILTERS),
    Page(
        "/events/older",
        "events_older",
        "Older events",
        "events/page.html",
        _view,
        query=(*_FILTERS, "before"),
        is_live=False,
    ),
)
