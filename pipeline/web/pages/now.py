"""The page Now: what each pipeline is doing."""

from __future__ import annotations

from pipeline.http.status_report import StatusReport
from pipeline.web.page import Page, Parts, ViewContext
from pipeline.web.reports import WebReports


def _view(context: ViewContext) -> Parts:
    lines = {name: _report(context.reports, name).text().lines for name in context.reports.control.supervisors}
    return {"pipelines": context.part("now/pipelines.html", pipelines=lines)}


def _report(reports: WebReports, name: str) -> StatusReport:
    return reports.shared(f"status of {name}", lambda: StatusReport.served(reports.control, name))


PAGES = (Page("/", "now", "Now", "now/page.html", _view, label="Now", rank=10),)
