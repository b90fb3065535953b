"""The timeline of a run as bars: each a picture beside its name, all of one chart on one scale.

A phase has a height and a form of its own, so it is known without its colour. A picture has a text that says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from pipeline.http.responses.timeline import (
    HealthyPoint,
    Lane,
    LanePhase,
    SharePoint,
    TargetPhase,
    TimelineResponse,
    TimelineService,
)
from pipeline.web.svg import svg

_WIDTH, _HEIGHT = 1000.0, 16.0
# By which the bars of a run in progress grow, the largest first.
_STEPS = tuple(timedelta(seconds=seconds) for seconds in (3600, 600, 60, 20, 5, 1))
# A shorter phase would not be seen.
_LEAST = 2.0
# Of a lane and of the line of healthy targets: the latest. A run of many hours may have very many.
_MAX_PHASES, _MAX_POINTS = 60, 400
# Of a service. A service whose containers fail starts new ones again and again.
MAX_LANES = 2000
# The upper edge of a phase at its start and at its end, from 0 at the top.
_EDGES = {
    TargetPhase.STARTING: (12.0, 12.0),
    TargetPhase.INITIAL: (7.0, 7.0),
    TargetPhase.HEALTHY: (0.0, 0.0),
    TargetPhase.UNHEALTHY: (4.0, 4.0),
    TargetPhase.DRAINING: (0.0, 12.0),
    TargetPhase.STOPPING: (12.0, 12.0),
    TargetPhase.STOPPED: (15.0, 15.0),
    TargetPhase.FAILED: (9.0, 3.0),
}


@dataclass(frozen=True)
class Scale:
    """The time that a chart shows, from its left edge to its right edge."""

    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        """Return the place of a time, to a tenth."""
        whole = (self.end - self.start).total_seconds() or 1.0
        return round(min(1.0, max(0.0, (at - self.start).total_seconds() / whole)) * _WIDTH, 1)

    @property
    def seconds(self) -> float:
        """The time between the edges."""
        return max(0.0, (self.end - self.start).total_seconds())


@dataclass(frozen=True)
class Bar:
    """One row of a chart. `state` is that of now, `text` says what the picture shows. A step is a part of a stage."""

    name: str
    state: str
    text: str
    picture: Markup
    note: str = ""
    is_step: bool = False


@dataclass(frozen=True)
class ServiceChart:
    """The charts of one service, with a bar for each of `lanes`. `healthy` and `share` are None if nothing is known."""

    service: TimelineService
    lanes: Sequence[Lane]
    bars: Sequence[Bar]
    healthy: Bar | None
    share: Bar | None


def drawn_until(started_at: datetime, now: datetime) -> datetime:
    """Return the time at which the bars of a run end that goes on: now, or a little earlier.

    A bar that grew at each look would be sent to all open pages each time. So it grows by a hundredth at most.
    """
    elapsed = now - started_at
    step = next((step for step in _STEPS if step * 100 <= elapsed), _STEPS[-1])
    return max(started_at, datetime.fromtimestamp(now.timestamp() // step.total_seconds() * step.total_seconds(), UTC))


def stage_bars(timeline: TimelineResponse, now: datetime) -> list[Bar]:
    """Return a bar for each stage and each step."""
    scale = Scale(timeline.started_at, timeline.finished_at or now)
    bars: list[Bar] = []
    for stage in timeline.stages:
        bars.append(_span(stage.name.capitalize(), stage.state, stage.started_at, stage.finished_at, scale))
        steps = [step for step in timeline.steps if step.stage == stage.name]
        bars += [_span(step.name, "", step.started_at, step.finished_at, scale) for step in steps]
    return bars


def service_charts(timeline: TimelineResponse, now: datetime) -> list[ServiceChart]:
    """Return the charts of all services, on the scale of the deployment."""
    scale = _deployment(timeline, now)
    ending = "at the end" if timeline.finished_at else "now"
    return [_chart(service, scale, ending) for service in timeline.services]


def _chart(service: TimelineService, scale: Scale, ending: str) -> ServiceChart:
    lanes = _shown_lanes(service.lanes)
    return ServiceChart(
        service,
        lanes,
        [_lane(lane, scale) for lane in lanes],
        _healthy(service.healthy, scale, ending) if service.healthy else None,
        _shares(service.shares, scale, ending) if service.shares else None,
    )


def _shown_lanes(lanes: Sequence[Lane]) -> Sequence[Lane]:
    """Return the lanes of containers that run and the latest others, in their order."""
    numbers = sorted(range(len(lanes)), key=lambda number: (_is_running(lanes[number]), number))
    return [lanes[number] for number in sorted(numbers[-MAX_LANES:])]


def _is_running(lane: Lane) -> bool:
    last = lane.phases[-1]
    return last.finished_at is None and last.phase is not TargetPhase.STOPPED


def deployment_scale(timeline: TimelineResponse, now: datetime) -> Scale:
    """Return the time of the deployment, which all services share."""
    return _deployment(timeline, now)


def legend() -> list[tuple[str, Markup]]:
    """Return each phase with its form."""
    return [(str(phase), _sample(phase)) for phase in TargetPhase]


def _sample(phase: TargetPhase) -> Markup:
    above, below = _EDGES[phase]
    shape = svg("polygon", points=f"0,{_HEIGHT:g} 0,{above:g} 32,{below:g} 32,{_HEIGHT:g}", class_=f"phase {phase}")
    return svg("svg", shape, viewBox="0 0 32 16", width=32, height=16, class_="sample", aria_hidden="true")


def _deployment(timeline: TimelineResponse, now: datetime) -> Scale:
    starts = [phase.started_at for each in timeline.services for lane in each.lanes for phase in lane.phases]
    stage = next((each for each in timeline.stages if each.name == "deploy"), None)
    start = stage.started_at if stage else min(starts, default=timeline.started_at)
    return Scale(start, (stage and stage.finished_at) or timeline.finished_at or now)


def _span(name: str, state: str, start: datetime, end: datetime | None, scale: Scale) -> Bar:
    text = _lasted(start, end, scale)
    left = scale.x(start)
    width = max(_LEAST, scale.x(end or scale.end) - left)
    height = _HEIGHT if state else _HEIGHT / 2
    rect = svg("rect", x=left, y=_HEIGHT - height, width=width, height=height, class_=f"span {state or 'step'}")
    return Bar(name, state, text, _picture(f"{name}: {text}", rect), text, is_step=not state)


def _lane(lane: Lane, scale: Scale) -> Bar:
    last = lane.phases[-1]
    state = str(last.phase) if last.finished_at is None else "gone"
    shown = lane.phases[-_MAX_PHASES:]
    left_out = len(lane.phases) - len(shown)
    text = ", ".join(f"{phase.phase} {_lasted(phase.started_at, phase.finished_at, scale)}" for phase in shown)
    text = f"{left_out} earlier phases, {text}" if left_out else text
    shapes = [_phase(phase, scale) for phase in shown]
    note = f"release {lane.release}" if lane.release else ""
    return Bar(lane.target, state, text, _picture(f"{lane.target}: {text}", *shapes), note)


def _phase(phase: LanePhase, scale: Scale) -> Markup:
    left = scale.x(phase.started_at)
    right = max(left + _LEAST, scale.x(phase.finished_at or scale.end))
    above, below = _EDGES[phase.phase]
    points = f"{left:g},{_HEIGHT:g} {left:g},{above:g} {right:g},{below:g} {right:g},{_HEIGHT:g}"
    return svg("polygon", points=points, class_=f"phase {phase.phase}")


def _healthy(points: Sequence[HealthyPoint], scale: Scale, ending: str) -> Bar:
    top = max(1, *(point.healthy for point in points))
    drawn = points[-_MAX_POINTS:]
    line = _steps([(point.at, point.healthy / top) for point in drawn], scale)
    floor = _steps([(point.at, point.floor / top) for point in drawn], scale)
    first, last = points[0], points[-1]
    # Before the floor was reached, the rollout could not keep it.
    least = min(point.healthy for point in points if point.floor == last.floor)
    started = f"{first.healthy} at the start, " if first.healthy < least else ""
    span = f", between {least} and {top}" if least < top else ""
    text = f"{started}{last.healthy} {ending}{span}; the rollout keeps at least {last.floor}"
    shapes = (svg("polyline", points=line, class_="healthy-line"), svg("polyline", points=floor, class_="floor-line"))
    note = f"{last.healthy} {ending}, floor {last.floor}"
    return Bar("healthy targets", "", text, _picture(text, *shapes), note)


def _shares(points: Sequence[SharePoint], scale: Scale, ending: str) -> Bar:
    line = _steps([(point.at, point.share / 100) for point in points], scale)
    text = ", ".join(f"{point.share:g} %" for point in points)
    text = f"share of the new release: {text}"
    picture = _picture(text, svg("polyline", points=line, class_="share-line"))
    return Bar("share of the requests", "", text, picture, f"{points[-1].share:g} % {ending}")


def _steps(points: Iterable[tuple[datetime, float]], scale: Scale) -> str:
    """Return the corners of a line that keeps each height, from 0 to 1, until the next one."""
    corners: list[tuple[float, float]] = []
    for at, height in points:
        y = round(1 + (_HEIGHT - 2) * (1 - height), 1)
        if corners:
            corners.append((scale.x(at), corners[-1][1]))
        corners.append((scale.x(at), y))
    corners.append((_WIDTH, corners[-1][1]))
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


def _picture(text: str, *shapes: Markup) -> Markup:
    return svg(
        "svg",
        *shapes,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=text,
    )


def _lasted(start: datetime, end: datetime | None, scale: Scale) -> str:
    seconds = max(0.0, ((end or scale.end) - start).total_seconds())
    return duration(seconds) if end is not None else f"for {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 7 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
