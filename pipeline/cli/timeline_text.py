"""The timeline of a run as lines of text: one bar for each stage, step and container, all on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.cli.output import clock, date
from pipeline.http.responses.timeline import (
    Lane,
    TargetPhase,
    TimelineResponse,
    TimelineService,
    TimelineStage,
    TimelineStep,
)

# In columns.
_BAR = 60
_MARKS = {
    TargetPhase.STARTING: ".",
    TargetPhase.INITIAL: ":",
    TargetPhase.HEALTHY: "#",
    TargetPhase.UNHEALTHY: "!",
    TargetPhase.DRAINING: "~",
    TargetPhase.STOPPING: "-",
    TargetPhase.STOPPED: " ",
    TargetPhase.FAILED: "x",
}
_LEGEND = ". starting   : initial   # healthy   ! unhealthy   ~ draining   - stopping   x failed"


@dataclass(frozen=True)
class _Scale:
    start: datetime
    end: datetime

    def column(self, at: datetime) -> int:
        """Return the column of a time, from 0 to the width of a bar."""
        whole = (self.end - self.start).total_seconds() or 1.0
        return round(min(1.0, max(0.0, (at - self.start).total_seconds() / whole)) * _BAR)

    def bar(self, parts: Sequence[tuple[str, datetime, datetime | None]]) -> str:
        """Return a bar with the mark of each part from its start to its end. Each has a column at least."""
        columns = [" "] * _BAR
        for mark, start, end in parts:
            first = min(self.column(start), _BAR - 1)
            for column in range(first, max(first + 1, self.column(end or self.end))):
                columns[column] = mark
        return "".join(columns).rstrip()


def timeline_lines(timeline: TimelineResponse, now: datetime) -> Iterator[str]:
    """Yield the lines. `now` is where a bar ends that goes on."""
    scale = _Scale(timeline.started_at, timeline.finished_at or now)
    yield _head(timeline, scale)
    spans: list[TimelineStage | TimelineStep] = [*timeline.stages, *timeline.steps]
    names = [*(_name(span) for span in spans), *(lane.target for each in timeline.services for lane in each.lanes)]
    width = max(map(len, names), default=0)
    for stage in timeline.stages:
        for span in (each for each in spans if each is stage or _is_in(each, stage)):
            bar = scale.bar([("=", span.started_at, span.finished_at)])
            yield f"{_name(span):{width}}  {_seconds(span.started_at, span.finished_at or scale.end):>8}  |{bar}"
    for service in timeline.services:
        yield from _service(service, scale, width)
    if any(service.lanes for service in timeline.services):
        yield _LEGEND
    for wait in timeline.waits:
        by = f", ended by {wait.by}" if wait.by else ""
        yield f"{clock(wait.started_at)}  waited {_seconds(wait.started_at, wait.finished_at or now)}{by}: {wait.text}"
    for mark in timeline.marks:
        yield f"{clock(mark.at)}  {mark.text}"


def _head(timeline: TimelineResponse, scale: _Scale) -> str:
    by = f" by {timeline.by}" if timeline.by else ""
    took = _seconds(scale.start, scale.end)
    state = timeline.state.replace("_", " ")
    return f"{timeline.kind} {timeline.run} of {timeline.pipeline}{by}: {state}, {date(scale.start)}, {took}"


def _service(service: TimelineService, scale: _Scale, width: int) -> Iterator[str]:
    wanted = "" if service.replicas is None else f", {service.replicas} wanted"
    yield f"{service.name}: release {service.release or 'none'}{wanted}"
    for lane in service.lanes:
        yield f"{lane.target:{width}}  {_release(lane):>8}  |{scale.bar(_parts(lane))}"
    if service.healthy:
        counts = [point.healthy for point in service.healthy]
        floor = max(point.floor for point in service.healthy)
        yield f"{'':{width}}  healthy targets: {' '.join(map(str, counts))}; the rollout keeps at least {floor}"
    if service.shares:
        shares = ", ".join(f"{clock(point.at)} {point.share:g} %" for point in service.shares)
        yield f"{'':{width}}  share of the new release: {shares}"
    for alarm in service.alarms:
        yield f"{'':{width}}  alarm {alarm.condition}: {alarm.state}, {alarm.text}"


def _parts(lane: Lane) -> list[tuple[str, datetime, datetime | None]]:
    return [(_MARKS[phase.phase], phase.started_at, phase.finished_at) for phase in lane.phases]


def _release(lane: Lane) -> str:
    return f"rel. {lane.release}" if lane.release else ""


def _name(span: TimelineStage | TimelineStep) -> str:
    return f"  {span.name}" if isinstance(span, TimelineStep) else span.name


def _is_in(span: TimelineStage | TimelineStep, stage: TimelineStage) -> bool:
    return isinstance(span, TimelineStep) and span.stage == stage.name


def _seconds(start: datetime, end: datetime) -> str:
    return f"{max(0.0, (end - start).total_seconds()):.1f} s"
