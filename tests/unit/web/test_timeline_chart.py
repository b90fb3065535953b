"""The bars of a timeline: one scale, a form for each phase, and few changes while a run goes on."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from pipeline.event_kinds import EventKind as K
from pipeline.http.responses.timeline import TargetPhase, TimelineResponse
from pipeline.http.timeline.timeline import timeline_of
from pipeline.store.records import Run, RunKind, RunOptions, RunState, StageRecord, StageState, Trigger
from pipeline.web.timeline_chart import deployment_scale, drawn_until, duration, legend, service_charts, stage_bars
from tests.support.event_script import EventScript, at


def timeline(script: EventScript, end: float | None) -> TimelineResponse:
    """Return the timeline of a run whose deployment begins at second 20."""
    finished = None if end is None else at(end)
    state = RunState.RUNNING if end is None else RunState.SUCCEEDED
    run = Run(
        pipeline="shop", number=1, kind=RunKind.RUN, state=state, requested=None, sha=None, ref=None, author=None,
        subject=None, release=2, reason="", started_at=at(0), finished_at=finished, pid=1, trigger=Trigger.COMMAND,
        queued_at=None, options=RunOptions(), superseded_by=None, retry_of=None, attempts=1, waits_for=None,
        approval=None, image_id=None,
    )  # fmt: skip
    stage = StageRecord("shop", 1, "deploy", StageState.RUNNING, "", at(20), finished)
    return timeline_of(run, [stage], script.numbered())


def canary() -> EventScript:
    """Return the events of a canary."""
    script = EventScript()
    script.add(20, K.ROLLOUT_STARTED, service="web", release=2, replicas=1, floor=1, healthy=1, targets="old=1")
    script.target(30, K.CONTAINER_STARTING, "new", 2)
    script.target(40, K.TARGET_HEALTHY, "new", 2)
    script.add(50, K.SHIFT_STEP, service="web", release=2, step=1, share=50.0, bake_time=10.0)
    script.target(60, K.TARGET_DRAINING, "old", 1)
    return script


def points(text: str) -> list[list[tuple[float, float]]]:
    """Return the corners of each shape of a picture."""
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in found.split())]
        for found in re.findall(r'points="([^"]*)"', text)
    ]


def test_a_lane_has_its_phases_side_by_side() -> None:
    """From the start of the deployment, at the left edge, to its end."""
    (chart,) = service_charts(timeline(canary(), 100), at(200))
    old, new = chart.bars
    edges = [(shape[0][0], shape[-1][0]) for shape in points(new.picture)]
    assert edges == [(125, 250), (250, 1000)]
    assert [(shape[0][0], shape[-1][0]) for shape in points(old.picture)] == [(0, 500), (500, 1000)]
    assert (old.state, new.state) == ("draining", "healthy")
    assert old.text == "healthy 40 s, draining for 40 s"


def test_the_healthy_line_keeps_its_height_until_a_change() -> None:
    """Its floor is another line, and the share a third one."""
    (chart,) = service_charts(timeline(canary(), 100), at(200))
    assert chart.healthy is not None
    assert chart.share is not None
    line, floor = points(chart.healthy.picture)
    assert line == [(0, 8), (250, 8), (250, 1), (500, 1), (500, 8), (1000, 8)]
    assert {y for _, y in floor} == {8}
    assert points(chart.share.picture) == [[(375, 8), (1000, 8)]]
    assert chart.healthy.note == "1 at the end, floor 1"
    (running,) = service_charts(timeline(canary(), None), at(200))
    assert running.healthy is not None
    assert running.share is not None
    assert (running.healthy.note, running.share.note) == ("1 now, floor 1", "50 % now")


def test_a_first_rollout_starts_below_its_floor() -> None:
    """What it keeps counts from the time when it was reached."""
    script = EventScript()
    script.add(20, K.ROLLOUT_STARTED, service="web", release=1, replicas=2, floor=2, healthy=0, targets="")
    for second, name in ((30, "a"), (40, "b")):
        script.target(second - 5, K.CONTAINER_STARTING, name, 1)
        script.target(second, K.TARGET_HEALTHY, name, 1)
    (chart,) = service_charts(timeline(script, 100), at(200))
    assert chart.healthy is not None
    expected = "0 at the start, 2 at the end; the rollout keeps at least 2"
    assert chart.healthy.text == expected


def test_a_step_is_part_of_a_stage() -> None:
    """It has no state of its own, and is set off."""
    script = canary()
    script.add(21, K.RELEASE_COMMAND_STARTED, "running the release command")
    stage, *steps = stage_bars(timeline(script, 100), at(200))
    assert not stage.is_step
    assert all(step.is_step for step in steps)


def test_each_phase_has_a_form_of_its_own() -> None:
    """It is known without its colour."""
    forms = [points(sample)[0] for _, sample in legend()]
    named = [phase for phase, _ in legend()]
    assert named == [str(phase) for phase in TargetPhase]
    same = {phase for phase, form in zip(named, forms, strict=True) if forms.count(form) > 1}
    # Both are a thin line, the one before a container has been healthy, the other one after it.
    assert same == {"starting", "stopping"}


def test_a_run_that_goes_on_ends_now() -> None:
    """Its bars grow, and those that are over stay."""
    running = timeline(canary(), None)
    assert deployment_scale(running, at(80)).end == at(80)
    (stage,) = stage_bars(running, at(80))
    assert (stage.state, stage.text) == ("running", "for 1 min 0 s")


@pytest.mark.parametrize(("seconds", "changes"), [(10, 60), (1000, 12), (3000, 3), (10_000, 1), (100_000, 1)])
def test_an_open_page_gets_few_changes(seconds: int, changes: int) -> None:
    """In a minute of a run that has taken so long, the bars change so often, and never lag by more than a hundredth."""
    looks = [at(seconds + second) for second in range(60)]
    drawn = [drawn_until(at(0), look) for look in looks]
    assert len(set(drawn)) in (changes, changes + 1)
    assert all(
        timedelta(0) <= look - end <= max(timedelta(seconds=1), (look - at(0)) / 100)
        for look, end in zip(looks, drawn, strict=True)
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7620, "2 h 7 min")]
)
def test_durations(seconds: float, text: str) -> None:
    """As people say them."""
    assert duration(seconds) == text


def test_a_clock_that_was_set_back() -> None:
    """The picture stays within its edges."""
    (chart,) = service_charts(timeline(canary(), 10), at(5))
    for bar in (*chart.bars, chart.healthy, chart.share):
        assert bar is not None
        assert all(0 <= x <= 1002 and 0 <= y <= 16 for shape in points(bar.picture) for x, y in shape)


def test_a_service_that_starts_containers_again_and_again() -> None:
    """Those that run and the latest others are drawn, in their order."""
    script = EventScript()
    script.add(20, K.ROLLOUT_STARTED, service="web", release=2, replicas=1, floor=1, healthy=1, targets="old=1")
    for number in range(2100):
        script.target(30 + number, K.CONTAINER_STARTING, f"new-{number}", 2)
        script.target(30.5 + number, K.CONTAINER_STOPPED, f"new-{number}", 2)
    (chart,) = service_charts(timeline(script, None), at(3000))
    assert len(chart.service.lanes) == 2101
    assert [bar.name for bar in chart.bars] == ["old", *(f"new-{number}" for number in range(101, 2100))]
    assert [lane.target for lane in chart.lanes] == [bar.name for bar in chart.bars]
