"""The decision of a shifting deployment: examples, and a machine that tries every order of events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pipeline.balancer.model import TargetState
from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy.shifting import MoveType, ShiftDecision
from tests.support.sample import sampled
from tests.unit.deploy.shift_world import FakeStep, ShiftWorld

MINUTE = timedelta(minutes=1)
NONE = timedelta(0)
CANARY = (FakeStep(10, 5 * MINUTE), FakeStep(100, NONE))
LINEAR = (FakeStep(40, MINUTE), FakeStep(80, MINUTE), FakeStep(100, MINUTE))
BLUE_GREEN = (FakeStep(100, 10 * MINUTE),)
ALL_AT_ONCE = (FakeStep(100, NONE),)
STRATEGIES = {"canary": CANARY, "linear": LINEAR, "blue_green": BLUE_GREEN, "all_at_once": ALL_AT_ONCE}


def world(
    steps: tuple[FakeStep, ...] = CANARY, old: int = 2, new: int = 2, *, good: bool = True, mirror: timedelta = NONE
) -> ShiftWorld:
    return ShiftWorld(steps, old, new, surge=1, unavailable=0, good=good, mirror=mirror)


def run(made: ShiftWorld, until: MoveType | None = None, phase: ShiftPhase | None = None) -> list[ShiftDecision]:
    """Let the deployment go on in a world that behaves, until it has made a move, begun a phase, or finished."""
    found = []
    for _ in range(300):
        found.append(made.decide())
        moved = found[-1].move.type if found[-1].move else None
        if made.finished or (until and moved is until) or (phase and made.phase is phase):
            return found
        made.settle()
    raise AssertionError(f"no end in phase {made.phase}: {made.containers}")


def moves(found: list[ShiftDecision]) -> list[str]:
    return [
        f"{m.type} {m.share:g}"
        if m.type is MoveType.SET_SHARE
        else f"{m.type} {m.phase} {m.step}"
        if m.type is MoveType.BEGIN
        else str(m.type)
        for each in found
        if (m := each.move)
    ]


@pytest.mark.parametrize(
    ("strategy", "shares"),
    [("canary", [10, 100, 0]), ("linear", [40, 80, 100, 0]), ("blue_green", [100, 0]), ("all_at_once", [100, 0])],
)
def test_the_shares_of_each_strategy(strategy: str, shares: list[float]) -> None:
    """The traffic moves by the steps of the strategy, and at the end the home group has all of it."""
    made = world(STRATEGIES[strategy])
    run(made)
    assert made.served == shares


def test_the_moves_of_a_canary() -> None:
    """Each move follows the one before it, and the step is stored before the share is set."""
    assert moves(run(world())) == [
        "declare",
        "begin shift 0",
        "set_share 10",
        "begin shift 1",
        "set_share 100",
        "begin retire 0",
        "begin home 0",
        "join",
        "set_share 0",
        "leave",
        "drop",
        "finish",
    ]


def test_copies_come_before_the_first_share() -> None:
    """They begin when all new replicas are healthy, and last their time."""
    made = world(BLUE_GREEN, mirror=MINUTE)
    assert moves(run(made, phase=ShiftPhase.MIRROR)) == ["declare", "begin mirror 0"]
    made.pass_time(59)
    assert made.decide() == ShiftDecision()
    made.pass_time(1)
    assert moves([made.decide()]) == ["begin shift 0"]
    run(made)
    assert made.served == [100, 0]


def test_an_alarm_on_copies() -> None:
    """The new release goes, and has had no requests."""
    made = world(mirror=MINUTE)
    run(made, phase=ShiftPhase.MIRROR)
    made.alarm = "copies: http_5xx_ratio 100 %"
    assert made.decide().alarm == "copies: http_5xx_ratio 100 %"
    run(made)
    assert made.served == []
    assert sorted(made.containers) == ["old0", "old1"]


def test_the_first_share_waits_for_healthy_replicas() -> None:
    """Copies whose time is over do not begin a step while a replica is unhealthy."""
    made = world(mirror=MINUTE)
    run(made, phase=ShiftPhase.MIRROR)
    made.pass_time(100)
    made.check("new1", passes=False)
    assert made.decide().move is None
    made.check("new1", passes=True)
    assert moves([made.decide()]) == ["begin shift 0"]


def test_nothing_moves_before_all_new_replicas_are_healthy() -> None:
    """A new release of which one replica is not healthy gets no request."""
    made = world(new=3)
    run(made, until=MoveType.DECLARE)
    made.decide()
    made.settle()
    made.decide()
    for name in [n for n in made.containers if n.startswith("new")][:2]:
        made.check(name, passes=True)
    assert made.decide().move is None
    made.settle()
    run(made, phase=ShiftPhase.SHIFT)


def test_a_step_lasts_its_bake_time() -> None:
    """The next step begins when the bake time is over, and not before."""
    made = world()
    run(made, until=MoveType.SET_SHARE)
    made.pass_time(299)
    assert made.decide() == ShiftDecision()
    made.pass_time(1)
    assert moves([made.decide()]) == ["begin shift 1"]


def test_an_alarm_sends_everything_back_at_once() -> None:
    """The first move after an alarm is that the home group gets all requests. Its replicas were never touched."""
    made = world(LINEAR)
    run(made, until=MoveType.SET_SHARE)
    made.alarm = "http_5xx_ratio 12 %"
    assert made.decide().alarm == "http_5xx_ratio 12 %"
    assert moves(run(made))[0] == "set_share 0"
    assert sorted(made.containers) == ["old0", "old1"]


def test_a_hook_holds_the_step_and_its_replicas() -> None:
    """While it runs, no time is counted and nothing moves. A container that is lost is replaced."""
    made = world(BLUE_GREEN)
    made.has_hook = True
    run(made, until=MoveType.SET_SHARE)
    assert made.is_in_hook
    made.pass_time(3600)
    assert made.decide() == ShiftDecision()
    assert made.baked == NONE
    made.containers["new1"].template, made.containers["new1"].running = "", False
    made.check("new1", passes=False)
    assert [str(action.verb) for action in made.decide().actions][-1] == "start"
    made.alarm = "http_5xx_ratio 12 %"
    assert made.decide().alarm
    assert moves(run(made))[0] == "set_share 0"


def test_an_exit_fails_the_release_in_each_step() -> None:
    """A new container that exits while its release bakes fails it."""
    made = world()
    run(made, until=MoveType.SET_SHARE)
    made.containers["new1"].running = False
    failure = made.decide().failure
    assert failure is not None
    assert (failure.name, failure.reason) == ("new1", "its container exited")


def test_a_release_without_a_healthy_target_is_rolled_back_at_once() -> None:
    """The previous release stands by, so nothing waits for deploy_timeout."""
    made = world()
    run(made, until=MoveType.SET_SHARE)
    made.check("new1", passes=False)
    assert made.decide().failure is None
    made.check("new2", passes=False)
    assert made.decide().failure is None
    made.pass_time(2)
    failure = made.decide().failure
    assert failure is not None
    assert failure.reason == "no target of the new release is healthy: no check has passed"


def test_what_a_killed_process_left_unhealthy_may_recover() -> None:
    """After a restart of the machine, all targets are unhealthy for a moment. That fails and replaces nothing."""
    made = world()
    run(made, until=MoveType.SET_SHARE)
    made.kill()
    for name in made.containers:
        made.check(name, passes=False)
    assert made.decide() == ShiftDecision()
    made.pass_time(31)
    assert [str(action.verb) for action in made.decide().actions] == ["start"]


def test_the_share_goes_back_when_the_previous_release_can_take_it() -> None:
    """If the previous release has lost its replicas, they are started before the requests come back."""
    made = world(BLUE_GREEN)
    run(made, until=MoveType.SET_SHARE)
    for name in ("old0", "old1"):
        made.containers[name].running = False
        made.check(name, passes=False)
    made.undo()
    found = run(made)
    assert moves(found)[0] == "set_share 0"
    assert any(each.actions for each in found[:3])
    assert made.served == [100, 0]


def test_a_rollback_after_the_point_of_no_return() -> None:
    """The previous release is started again, and gets the requests when it is healthy."""
    made = world(ALL_AT_ONCE)
    run(made, phase=ShiftPhase.HOME)
    assert all(name.startswith("new") for name in made.containers)
    made.undo()
    run(made)
    assert [c.template for c in made.containers.values()] == ["old", "old"]


def test_a_target_that_gets_requests_is_not_drained_for_being_new_at_home() -> None:
    """After a long bake time and a kill, the new targets wait for their first check at home, and serve meanwhile."""
    made = world(BLUE_GREEN)
    run(made, phase=ShiftPhase.HOME)
    made.pass_time(3600)
    made.kill()
    run(made, until=MoveType.JOIN)
    made.settled()
    assert made.decide() == ShiftDecision()
    made.check_in("new1", "home", passes=True)
    assert made.decide() == ShiftDecision()
    made.check_in("new2", "home", passes=True)
    assert moves([made.decide()]) == ["set_share 0"]


def test_the_way_home_has_a_deadline() -> None:
    """If a target does not become healthy in the home group, the release is rolled back."""
    made = world(BLUE_GREEN)
    run(made, until=MoveType.JOIN)
    made.settled()
    made.check_in("new1", "home", passes=True)
    made.in_phase_for = NONE
    made.pass_time(60)
    assert made.decide() == ShiftDecision()
    made.pass_time(1)
    failure = made.decide().failure
    assert failure is not None
    assert (failure.name, failure.reason) == ("new2", "it was not healthy in its own target group for 60 s")
    run(made)
    assert [c.template for c in made.containers.values()] == ["old", "old"]


@pytest.mark.parametrize("mirror", [NONE, MINUTE])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_kill_after_each_move(strategy: str, mirror: timedelta) -> None:
    """The next process continues in the stored step, whenever the previous one was killed."""
    made = world(STRATEGIES[strategy], mirror=mirror)
    for _ in range(300):
        found = made.decide()
        assert found.failure is None
        if found.move:
            made.kill()
        if made.finished:
            break
        made.settle()
    assert made.finished
    assert made.served == [*(step.percent for step in STRATEGIES[strategy]), 0]


class Shift(RuleBasedStateMachine):
    """A world in which anything may happen between two decisions, under each strategy.

    `ShiftWorld` checks what the deployment does. At the end the service is at home, with one release.
    """

    @initialize(
        strategy=st.sampled_from(sorted(STRATEGIES)),
        old=st.integers(1, 4),
        new=st.integers(1, 4),
        surge=st.integers(0, 3),
        unavailable=st.integers(0, 3),
        good=st.sampled_from([True, True, False]),
        has_hook=st.booleans(),
        is_ahead=st.booleans(),
        mirror=st.sampled_from([NONE, MINUTE]),
    )
    def begin(
        self,
        strategy: str,
        old: int,
        new: int,
        surge: int,
        unavailable: int,
        good: bool,
        has_hook: bool,
        is_ahead: bool,
        mirror: timedelta,
    ) -> None:
        steps = STRATEGIES[strategy]
        self.world = ShiftWorld(steps, old, new, surge, unavailable if surge else 1, good=good, mirror=mirror)
        self.world.has_hook = has_hook
        # Few orders of events come this far by themselves.
        while has_hook and is_ahead and good and not self.world.is_in_hook:
            self.world.decide()
            if self.world.phase is ShiftPhase.MIRROR:
                self.world.pass_time(60)
            if not self.world.is_in_hook:
                self.world.settle()

    @rule(times=st.integers(1, 6))
    def decide(self, times: int) -> None:
        """Decide a few times, so that a machine comes far."""
        for _ in range(times):
            if not self.world.finished:
                self.world.decide()

    @rule(times=st.integers(1, 6))
    def goes_well(self, times: int) -> None:
        """Containers start, become healthy and end, between decisions."""
        for _ in range(times):
            if not self.world.finished:
                self.world.settle()
                self.world.decide()

    @precondition(lambda self: self.world.starting)
    @rule()
    def start_returns(self) -> None:
        self.world.start_returns()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One replica becomes healthy or unhealthy, exits, stops, or gets and finishes requests."""
        made = self.world
        if made.finished or not made.containers:
            return
        name = data.draw(st.sampled_from(sorted(made.containers)))
        container = made.containers[name]
        if container.pending:
            made.stop_returns(name)
            return
        happening = data.draw(st.sampled_from(["check", "sick", "die", "gone", "request", "answer"]))
        group = data.draw(st.sampled_from(["home", "alternate"]))
        match happening:
            case "check" | "sick":
                made.check_in(name, group, passes=happening == "check")
            case "die":
                container.running = False
                made.check(name, passes=False)
            case "gone":
                container.template, container.running = "", False
                made.check(name, passes=False)
            case "request" | "answer":
                made.request(name, group, ends=happening == "answer")

    @rule(seconds=st.sampled_from([1, 10, 40, 300]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule()
    def the_process_is_killed(self) -> None:
        """The run continues in the stored step."""
        self.world.kill()

    @rule()
    def killed_and_undone(self) -> None:
        """Another command undoes what the killed process has begun."""
        self.world.kill()
        self.world.undo()

    @precondition(lambda self: self.world.phase in (ShiftPhase.MIRROR, ShiftPhase.SHIFT))
    @rule()
    def the_judge_raises_an_alarm(self) -> None:
        self.world.alarm = "http_5xx_ratio 12 %"

    @precondition(lambda self: self.world.is_in_hook)
    @rule()
    def an_alarm_ends_the_hook(self) -> None:
        """The rollback begins at the next look, and no request reaches the new release after its first move."""
        self.world.alarm = "http_5xx_ratio 12 %"
        assert self.world.decide().alarm
        assert self.world.phase is ShiftPhase.UNDO
        assert not self.world.is_in_hook

    @precondition(lambda self: self.world.is_in_hook)
    @rule()
    def the_hook_ends(self) -> None:
        self.world.is_in_hook = False

    @rule()
    def cancelled(self) -> None:
        """A user cancels the run, which rolls back."""
        self.world.undo()

    def teardown(self) -> None:
        """From any situation, a world that behaves ends at home, with the new release or the previous one."""
        if not hasattr(self, "world"):
            return
        made = self.world
        for container in made.containers.values():
            container.begun = made.time
            for member in container.groups.values():
                member.state_since = made.time
        made.in_phase_for = NONE
        for _ in range(400):
            if made.finished:
                break
            made.settle()
            made.decide()
        assert made.finished, (made.phase, made.share, made.containers)
        assert {m.state for c in made.containers.values() for m in c.groups.values()} == {TargetState.HEALTHY}
        if not made.good:
            assert made.phase is ShiftPhase.UNDO


TestShift = Shift.TestCase
TestShift.settings = settings(max_examples=sampled(500), stateful_step_count=40, deadline=None)
