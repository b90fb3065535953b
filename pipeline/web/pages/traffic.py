"""The page Traffic: requests, errors and response times of the last minutes, with the deployments meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.balancer.telemetry.traffic_follower import MAX_SECONDS
from pipeline.base.errors import ConfigError
from pipeline.http.queries import QueryMistake, TrafficQuery, parse_query
from pipeline.http.responses.traffic import TrafficResponse, TrafficStepResponse
from pipeline.web.filters import given_filters
from pipeline.web.page import Page, Parts, ViewContext

_FILTERS = ("pipeline", "group", "window")
_NOW_SECONDS = 10


@dataclass(frozen=True)
class _Window:
    """A length of time, in steps of which the chart shows sixty."""

    name: str
    seconds: int

    @property
    def step(self) -> int:
        """The seconds of a step."""
        return self.seconds // 60


_WINDOWS = {"5m": _Window("5 minutes", 300), "15m": _Window("15 minutes", 900), "1h": _Window("1 hour", 3600)}
_DEFAULT = "5m"


@dataclass(frozen=True)
class _Total:
    """The sums over a window."""

    requests: int
    errors_4xx: int
    errors_5xx: int

    @classmethod
    def of(cls, steps: list[TrafficStepResponse]) -> _Total:
        return cls(
            sum(step.requests for step in steps),
            sum(step.errors_4xx for step in steps),
            sum(step.errors_5xx for step in steps),
        )


def _view(context: ViewContext) -> Parts:
    filters = given_filters(context.arguments, _FILTERS)
    try:
        window = _window(filters.get("window", _DEFAULT))
        place = given_filters(filters, ("pipeline", "group"))
        times = {"seconds": str(window.seconds), "step": str(window.step)}
        query = parse_query(TrafficQuery, {**place, **times})
    except (ConfigError, QueryMistake) as mistake:
        text = str(mistake)
        return {
            "filters": _form(context, filters, []),
            "rates": context.part("filter_mistake.html", part="rates", mistake=text),
            "traffic": context.part("traffic/table.html", steps=[], deployments=[], has_pipelines=False),
        }
    found = context.reports.traffic.traffic(query)
    # The step in progress would change every second.
    steps = [step for step in found.steps if step.seconds == window.step]
    return {
        "filters": _form(context, filters, found.groups),
        "rates": _rates(context, query, found, window),
        "traffic": context.part(
            "traffic/table.html",
            steps=steps,
            deployments=found.deployments,
            has_pipelines=len({mark.pipeline for mark in found.deployments}) > 1,
        ),
    }


def _window(name: str) -> _Window:
    if name not in _WINDOWS:
        raise ConfigError(f"window: must be {', '.join(_WINDOWS)}, got {name[:20]}")
    return _WINDOWS[name]


def _rates(context: ViewContext, query: TrafficQuery, found: TrafficResponse, window: _Window) -> Markup:
    """Return the rates of the last ten seconds, and the sums of the window."""
    now = query.model_copy(update={"seconds": _NOW_SECONDS, "step": MAX_SECONDS})
    latest = context.reports.traffic.traffic(now).steps
    return context.part(
        "traffic/rates.html", latest=latest[-1] if latest else None, total=_Total.of(found.steps), window=window
    )


def _form(context: ViewContext, filters: Mapping[str, str], groups: Sequence[str]) -> Markup:
    known = sorted({*groups, *([filters["group"]] if "group" in filters else [])})
    pipelines = list(context.reports.control.supervisors)
    return context.part(
        "traffic/form.html", filters=filters, pipelines=pipelines, groups=known, windows=_WINDOWS, default=_DEFAULT
    )


PAGES = (
    Page(
        "/traffic",
        "traffic",
        "Traffic",
        "traffic/page.html",
        _view,
        label="Traffic",
        rank=60,
        query=_FILTERS,
        scripts=("uPlot.iife.min.js", "traffic.js"),
        styles=("uPlot.min.css",),
    ),
)
