"""The page Access log: the latest requests, with filters. Older ones are on a page that does not change."""

from __future__ import annotations

from datetime import datetime

from pipeline.base.errors import ConfigError
from pipeline.http.queries import AccessLogQuery, QueryMistake, parse_query
from pipeline.web.filters import address, given_filters
from pipeline.web.page import Page, Parts, ViewContext

_FILTERS = ("pipeline", "status", "method", "path", "group", "target", "slower")
_LIMIT = 50
# An open page reads this much every two seconds, if a filter lets few requests pass. It takes about 15 ms.
_LIVE_BYTES = 2**20


def _view(context: ViewContext) -> Parts:
    filters = given_filters(context.arguments, _FILTERS)
    pipelines = list(context.reports.control.supervisors)
    form = context.part("access_log/form.html", filters=filters, pipelines=pipelines)
    given = given_filters(context.arguments, (*_FILTERS, "before"))
    try:
        query = parse_query(AccessLogQuery, {**given, "limit": _LIMIT})
        traffic = context.reports.traffic
        found = traffic.access_log(query) if query.before else traffic.access_log(query, _LIVE_BYTES)
    except (ConfigError, QueryMistake) as mistake:
        return {"filters": form, "entries": context.part("filter_mistake.html", part="entries", mistake=str(mistake))}
    older = address("/access-log/older", filters, before=found.next) if found.next else None
    latest = address("/access-log", filters) if query.before else None
    rows = [(datetime.fromisoformat(entry.time), entry) for entry in found.entries]
    entries = context.part(
        "access_log/table.html",
        found=found,
        rows=rows,
        older=older,
        latest=latest,
        limit=_LIMIT,
        is_filtered=bool(filters),
    )
    return {"filters": form, "entries": entries}


PAGES = (
    Page(
        "/access-log",
        "access_log",
        "Access log",
        "access_log/page.html",
        _view,
        label="Access log",
        rank=70,
        query=_FILTERS,
        interval=2.0,
    ),
    Page(
        "/access-log/older",
        "access_log_older",
        "Older entries of the access log",
        "access_log/page.html",
        _view,
        query=(*_FILTERS, "before"),
        is_live=False,
    ),
)
