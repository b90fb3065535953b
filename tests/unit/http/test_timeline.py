"""The timeline of a run: the same events give the same lanes, lines and waits."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.event_kinds import EventKind as K
from pipeline.http.responses.timeline import TimelineResponse, TimelineService
from pipeline.http.timeline.healthy_line import HealthyLine
from pipeline.http.timeline.timeline import timeline_of
from pipeline.store.records import Run, RunKind, RunOptions, RunState, Trigger
from tests.support.event_script import EventScript, at


def run(state: RunState = RunState.SUCCEEDED) -> Run:
    """Return the row of the run."""
    return Run(
        pipeline="shop", number=1, kind=RunKind.RUN, state=state, requested=None, sha="a" * 40, ref="main",
        author="Ann", subject="Carts", release=2, reason="", started_at=at(0), finished_at=None, pid=1,
        trigger=Trigger.COMMAND, queued_at=None, options=RunOptions(), superseded_by=None, retry_of=None, attempts=1,
        waits_for=None, approval=None, image_id=None, by="anna",
    )  # fmt: skip


def timeline(script: EventScript) -> TimelineResponse:
    """Return the timeline of the script's events."""
    return timeline_of(run(), [], script.numbered())


def web(script: EventScript) -> TimelineService:
    """Return its only service."""
    (found,) = timeline(script).services
    return found


def phases(service: TimelineService, target: str) -> list[tuple[str, float, float | None]]:
    """Return the phases of a target, with their seconds."""
    (lane,) = [lane for lane in service.lanes if lane.target == target]
    return [
        (str(p.phase), second(p.started_at), None if p.finished_at is None else second(p.finished_at))
        for p in lane.phases
    ]


def second(moment: datetime) -> float:
    """Return the second of the run."""
    return (moment - at(0)).total_seconds()


def rolling() -> EventScript:
    """Return the events of a rolling deployment of one container, whose successor is healthy after 3 s."""
    script = EventScript()
    script.add(0, K.RUN_STARTED, trigger="command", by="anna")
    script.add(1, K.DEPLOYMENT_STARTED)
    script.add(1, K.ROLLOUT_STARTED, service="web", release=2, replicas=1, floor=1, healthy=1, targets="old=1")
    script.target(2, K.CONTAINER_STARTING, "new", 2)
    script.target(3, K.CONTAINER_STARTED, "new", 2)
    script.target(4, K.TARGET_REGISTERED, "new", 2)
    script.target(5, K.TARGET_HEALTHY, "new", 2)
    script.target(6, K.TARGET_DRAINING, "old", 1)
    script.target(8, K.CONTAINER_STOPPING, "old", 1)
    script.target(9, K.CONTAINER_STOPPED, "old", 1)
    script.target(10, K.CONTAINER_REMOVED, "old", 1)
    return script


def test_the_lanes_of_a_rolling_deployment() -> None:
    """The container that was there is healthy from the start on, and its lane ends with it."""
    found = web(rolling())
    assert [(lane.target, lane.release) for lane in found.lanes] == [("old", 1), ("new", 2)]
    assert phases(found, "old") == [
        ("healthy", 1, 6), ("draining", 6, 8), ("stopping", 8, 9), ("stopped", 9, 10),
    ]  # fmt: skip
    assert phases(found, "new") == [("starting", 2, 4), ("initial", 4, 5), ("healthy", 5, None)]
    assert (found.name, found.release, found.replicas) == ("web", 2, 1)


def test_the_line_of_healthy_targets_stays_above_its_floor() -> None:
    """It changes when a target becomes healthy, and when one is drained, not when it has gone."""
    points = [(second(p.at), p.healthy, p.floor) for p in web(rolling()).healthy]
    assert points == [(1, 1, 1), (5, 2, 1), (6, 1, 1)]


def test_the_floor_of_a_first_release_begins_at_its_first_targets() -> None:
    """A rollout does not cause that there is none at the start."""
    script = EventScript()
    script.add(0, K.ROLLOUT_STARTED, service="web", release=1, replicas=2, floor=2, healthy=0, targets="")
    for moment, name in ((3, "a"), (4, "b")):
        script.target(moment - 2, K.CONTAINER_STARTING, name, 1)
        script.target(moment, K.TARGET_HEALTHY, name, 1)
    assert [(p.healthy, p.floor) for p in web(script).healthy] == [(0, 0), (1, 1), (2, 2)]


def test_events_of_a_previous_version() -> None:
    """They name no service and no start. What is drained first was healthy since the deployment began."""
    script = EventScript()
    script.add(2, K.DEPLOYMENT_STARTED)
    script.add(3, K.CONTAINER_STARTING, target="new", release=2, healthy=1)
    script.add(4, K.TARGET_HEALTHY, target="new", release=2, healthy=1)
    script.add(5, K.TARGET_DRAINING, target="old", release=1, healthy=2)
    found = web(script)
    assert (found.name, found.replicas) == ("web", None)
    assert phases(found, "old") == [("healthy", 2, 5), ("draining", 5, None)]
    assert [(p.healthy, p.floor) for p in found.healthy] == [(1, 0), (2, 0), (1, 0)]


def test_a_container_that_fails_and_one_that_recovers() -> None:
    """Each has its own phases."""
    script = EventScript()
    script.target(1, K.CONTAINER_STARTING, "bad", 2)
    script.target(2, K.TARGET_REGISTERED, "bad", 2)
    script.target(3, K.TARGET_FAILED, "bad", 2)
    script.target(4, K.TARGET_DRAINING, "bad", 2)
    script.target(1, K.TARGET_UNHEALTHY, "sick", 1)
    script.target(5, K.TARGET_HEALTHY, "sick", 1)
    found = web(script)
    assert [phase for phase, _, _ in phases(found, "bad")] == ["starting", "initial", "failed", "draining"]
    assert [phase for phase, _, _ in phases(found, "sick")] == ["healthy", "unhealthy", "healthy"]


def test_a_run_that_lost_its_process() -> None:
    """What another process removed meanwhile has gone when the run continues, and what is there goes on."""
    script = rolling()
    script.events[:] = script.events[:7]
    script.target(6, K.CONTAINER_STARTING, "second", 2)
    script.add(7, K.RUN_INTERRUPTED)
    script.add(20, K.RUN_STARTED, trigger="command")
    script.add(21, K.ROLLOUT_STARTED, service="web", release=2, replicas=1, floor=1, healthy=1, targets="new=2")
    found = web(script)
    assert phases(found, "old") == [("healthy", 1, 21)]
    assert phases(found, "second") == [("starting", 6, 21)]
    assert phases(found, "new")[-1] == ("healthy", 5, None)
    assert [(second(p.at), p.healthy) for p in found.healthy] == [(1, 1), (5, 2), (21, 1)]


def test_services_have_their_own_lanes() -> None:
    """In the order in which they began."""
    script = rolling()
    script.target(11, K.CONTAINER_STARTING, "w", 2, service="worker")
    assert [(each.name, len(each.lanes)) for each in timeline(script).services] == [("web", 2), ("worker", 1)]


def canary() -> EventScript:
    """Return the events of a canary with an alarm."""
    script = EventScript()
    fields = {"service": "web", "release": 2}
    script.add(1, K.SHIFT_INSTALLING, **fields)
    script.add(2, K.SHIFT_MIRRORING, step=1, share=0.0, bake_time=5.0, **fields)
    script.add(3, K.ALARM_EVALUATED, "alarm of web: INSUFFICIENT_DATA, 5 copies", condition=1, state="INSUFFICIENT_DATA", was=None, needed=9, **fields)  # fmt: skip  # noqa: E501
    script.add(7, K.SHIFT_MIRRORED, **fields)
    script.add(8, K.SHIFT_STEP, step=1, share=20.0, bake_time=60.0, **fields)
    for moment, state, text in ((9, "INSUFFICIENT_DATA", "10 of 500"), (19, "OK", "1 %"), (29, "OK", "2 %")):
        message = f"alarm of web: {state}, {text}"
        script.add(moment, K.ALARM_EVALUATED, message, condition=2, state=state, was=None, needed=490, **fields)
    script.add(68, K.SHIFT_STEP, step=2, share=100.0, bake_time=0.0, **fields)
    script.add(69, K.SHIFT_RETIRING, step=2, share=100.0, **fields)
    return script


def test_the_shares_of_a_canary() -> None:
    """Each change has its time, its step and how long it is kept at least."""
    shares = [(second(p.at), p.share, p.step, p.bake_time) for p in web(canary()).shares]
    assert shares == [(1, 0, None, 0), (2, 0, None, 5), (8, 20, 1, 60), (68, 100, 2, 0)]


def test_the_alarms_of_a_canary() -> None:
    """The latest numbers count, and how long their state lasts. Those of copies are over with the copies."""
    (alarm,) = web(canary()).alarms
    assert (alarm.condition, alarm.state, alarm.text, alarm.needed) == (2, "OK", "2 %", 490)
    assert (second(alarm.since), second(alarm.evaluated_at)) == (19, 29)


def test_a_rollback_takes_the_share_back() -> None:
    """Its mark says who aborted the deployment."""
    script = canary()
    script.events[:] = script.events[:5]
    script.add(30, K.DEPLOYMENT_FAILED, "release 2: aborted by bob", by="bob")
    script.add(31, K.SHIFT_RETURNED, service="web", share=0.0)
    assert web(script).shares[-1].share == 0
    assert [(mark.kind, mark.by) for mark in timeline(script).marks] == [
        ("deployment.failed", "bob"), ("shift.returned", None),
    ]  # fmt: skip


def test_the_waits() -> None:
    """An approval, a disabled transition and a pause each have their end, and the user who ended it."""
    script = EventScript()
    script.add(1, K.RUN_WAITING, "waits for the transition", stage="build", waits_for="the transition into build")
    script.add(3, K.STAGE_STARTED, stage="build")
    script.add(4, K.RUN_WAITING, "waits for approval", stage="deploy", waits_for="approval")
    script.add(9, K.RUN_APPROVED, by="anna", comment="")
    script.add(10, K.STAGE_STARTED, stage="deploy")
    script.add(11, K.DEPLOYMENT_WAITING, "web waits", service="web", hook="AfterInstall")
    script.add(11, K.DEPLOYMENT_WAITING, "api waits", service="api", hook="AfterInstall")
    script.add(15, K.DEPLOYMENT_CONTINUED, service="web", hook="AfterInstall", by="bob")
    found = [
        (wait.what, second(wait.started_at), wait.finished_at and second(wait.finished_at), wait.by)
        for wait in timeline(script).waits
    ]
    assert found == [
        ("stage", 1, 3, None), ("approval", 4, 9, "anna"), ("promote", 11, 15, "bob"), ("promote", 11, None, None),
    ]  # fmt: skip


def test_the_steps_of_the_stages() -> None:
    """A step that does not end by itself ends with its stage. Those of an earlier attempt are left out."""
    script = EventScript()
    for start in (0, 100):
        script.add(start, K.RUN_STARTED, trigger="command")
        script.add(start + 1, K.STAGE_STARTED, stage="build")
        script.add(start + 1, K.BUILD_STARTED)
        script.add(start + 4, K.BUILD_FINISHED)
        script.add(start + 4, K.TEST_STARTED)
        script.add(start + 6, K.TEST_RETRY, attempt=2, cause="tests", reason="failed")
        script.add(start + 6, K.TEST_STARTED)
        script.add(start + 9, K.STAGE_FAILED, stage="build")
    script.add(120, K.STAGE_STARTED, stage="deploy")
    script.add(121, K.HOOK_STARTED, service="web", hook="AfterInstall")
    found = timeline(script).steps
    assert [(step.stage, step.name, second(step.started_at)) for step in found] == [
        ("build", "build", 101), ("build", "tests", 104), ("build", "tests", 106),
        ("deploy", "AfterInstall of web", 121),
    ]  # fmt: skip
    assert [step.finished_at and second(step.finished_at) for step in found] == [104, 106, 109, None]


def test_the_last_event_is_named() -> None:
    """A reader that follows the events continues from it."""
    assert timeline(rolling()).last_event == 11
    assert timeline(EventScript()).last_event == 0


@pytest.mark.parametrize("targets", ["", "a", "a=", "=1", "a=x", "a=1=2 =", "a=-1"])
def test_damaged_targets_are_left_out(targets: str) -> None:
    """The rest of the timeline is shown."""
    script = EventScript()
    script.add(0, K.ROLLOUT_STARTED, service="web", release=1, replicas=1, floor=0, healthy=0, targets=targets)
    assert {lane.target for lane in web(script).lanes} <= {"a=1"}


_KINDS = (
    *(K.CONTAINER_STARTING, K.TARGET_REGISTERED, K.TARGET_HEALTHY, K.TARGET_UNHEALTHY, K.TARGET_DRAINING),
    *(K.CONTAINER_STOPPED, K.CONTAINER_REMOVED, K.ROLLOUT_STARTED, K.RUN_INTERRUPTED),
)


@example(
    [
        (0, K.ROLLOUT_STARTED, "a"),
        (1, K.CONTAINER_STARTING, "a"),
        (1, K.TARGET_UNHEALTHY, "b"),
        (0, K.ROLLOUT_STARTED, "a"),
    ]
)
@given(st.lists(st.tuples(st.integers(-5, 40), st.sampled_from(_KINDS), st.sampled_from("abc")), max_size=30))
def test_whatever_happens(steps: list[tuple[int, K, str]]) -> None:
    """In any order of events, also of a clock that is set back: phases are in order, and no count is negative."""
    script = EventScript()
    for moment, kind, name in steps:
        if kind is K.ROLLOUT_STARTED:
            script.add(moment, kind, service="web", release=2, replicas=1, floor=1, healthy=1, targets=f"{name}=1")
        elif kind is K.RUN_INTERRUPTED:
            script.add(moment, kind)
        else:
            script.target(moment, kind, name, 2)
    for service in timeline(script).services:
        for lane in service.lanes:
            assert all(phase.finished_at for phase in lane.phases[:-1])
            assert all(phase.finished_at is None or phase.started_at <= phase.finished_at for phase in lane.phases)
        highest = 0
        for point in service.healthy:
            highest = max(highest, point.healthy)
            assert 0 <= point.healthy <= 3
            assert 0 <= point.floor <= min(1, highest)


def test_equal_moments_are_one_point() -> None:
    """One target that replaces another at the same moment changes nothing."""
    line = HealthyLine()
    line.floor(at(0), 1)
    for second, change in ((0, 1), (5, -1), (5, 1)):
        line.change(at(second), change)
    assert [(point.healthy, point.floor) for point in line.points()] == [(1, 1)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 2), st.booleans(), st.booleans()), max_size=30))
def test_a_line_that_is_continued_is_the_same(changes: list[tuple[int, int, bool, bool]]) -> None:
    """Looks in between change nothing, also if a change is earlier than those before."""
    looked, whole = HealthyLine(), HealthyLine()
    for second, change, is_floor, has_look in changes:
        for line in (looked, whole):
            line.floor(at(second), change) if is_floor else line.change(at(second), change)
        if has_look:
            looked.points()
    assert looked.points() == whole.points()
