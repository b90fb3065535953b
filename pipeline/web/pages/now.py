"""The pages Now and Radiator: a sentence for each pipeline, what is being done, and what waits for a user."""

from __future__ import annotations

from pipeline.http.responses.now import NowResponse
from pipeline.web.page import Page, Parts, ViewContext

_RADIATOR_EVENTS = 6


def _found(context: ViewContext) -> NowResponse:
    reports = context.reports
    return reports.shared("now", lambda: reports.now.now(list(reports.control.supervisors)))


def _now(context: ViewContext) -> Parts:
    found = _found(context)
    return {
        "questions": context.part("now/questions.html", pipelines=found.pipelines),
        "pipelines": context.part("now/pipelines.html", pipelines=found.pipelines),
        "events": context.part("events/latest.html", events=found.events, managed=context.reports.control.supervisors),
    }


def _radiator(context: ViewContext) -> Parts:
    found = _found(context)
    return {
        "wall": context.part("now/wall.html", pipelines=found.pipelines, events=found.events[:_RADIATOR_EVENTS]),
    }


PAGES = (
    Page("/", "now", "Now", "now/page.html", _now, label="Now", rank=10),
    Page("/radiator", "radiator", "Radiator", "now/radiator.html", _radiator, styles=("radiator.css",)),
)
