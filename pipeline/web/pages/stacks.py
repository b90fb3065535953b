"""The pages about stacks: their list, and one with its resources and events."""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.http.stack_report import StackReport
from pipeline.web.page import Page, PageMissing, Parts, ViewContext

_MAX_EVENTS = 100


def _index(context: ViewContext) -> Parts:
    return {"stacks": context.part("stacks/index_part.html", stacks=StackReport(context.reports.store).all())}


def _stack(context: ViewContext) -> Parts:
    report, name = StackReport(context.reports.store), context.arguments["stack"]
    try:
        stack = report.stack(name)
    except ConfigError as error:
        raise PageMissing(error.message, hint=error.hint) from None
    events = report.events(name, limit=_MAX_EVENTS)
    return {
        "stack": context.part("stacks/stack_part.html", stack=stack),
        "resources": context.part("stacks/resources_part.html", resources=report.resources(name)),
        "stack-events": context.part("stacks/events_part.html", events=events[::-1], most=_MAX_EVENTS),
    }


PAGES = (
    Page("/stacks", "stacks", "Stacks", "stacks/index.html", _index, label="Stacks", rank=70),
    Page("/stacks/{stack}", "stack", "Stack {stack}", "stacks/stack.html", _stack),
)
