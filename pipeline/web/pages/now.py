"""The page Now: what each pipeline is doing."""

from __future__ import annotations

from pipeline.http.status_report import StatusReport
from pipeline.web.page import Page, Parts, ViewContext


def _view(context: ViewContext) -> Parts:
    control = context.reports.control
    lines = {name: StatusReport.served(control, name).text().lines for name in control.supervisors}
    return {"pipelines": context.part("now/pipelines.html", pipelines=lines)}


PAGES = (Page("/", "now", "Now", "now/page.html", _view, label="Now", rank=10),)
