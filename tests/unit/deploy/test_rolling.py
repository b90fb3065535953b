"""The rollout's decision: examples, and a machine that tries every order of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.balancer.model import TargetState
from stages.deploy.decision import (
    ActionType,
    ContainerState,
    DesiredState,
    Observation,
    Replica,
    ReplicaFailure,
    RolloutAction,
    RolloutDecision,
    Strategy,
)
from stages.deploy.rolling import RollingStrategy, decide
from tests.support.sample import sampled

SECOND = timedelta(seconds=1)


def desired(replicas: int = 3, surge: int = 1, unavailable: int = 0, template: str = "new") -> DesiredState:
    return DesiredState(template, replicas, surge, unavailable, timedelta(seconds=30), timedelta(seconds=60))


def healthy(name: str, template: str = "old", **more: object) -> Replica:
    return replace(
        Replica(name, template, ContainerState.RUNNING, TargetState.HEALTHY, restart_policy_set=True),
        **more,  # type: ignore[arg-type]
    )


def olds(count: int = 3) -> tuple[Replica, ...]:
    return tuple(healthy(f"old{n}") for n in range(count))


def verbs(decision: RolloutDecision) -> list[str]:
    return [f"{a.verb} {a.name}".strip() for a in decision.actions]


def test_starts_before_it_stops() -> None:
    """With a surge of one, the first step is to start one, and no old replica is touched."""
    assert verbs(decide(olds(), 0, desired())) == ["start"]


def test_waits_until_the_new_one_is_healthy() -> None:
    """A new replica that is initial costs no old one anything."""
    new = Replica("new0", "new", ContainerState.RUNNING, TargetState.INITIAL, started_here=True)
    assert verbs(decide((*olds(), new), 0, desired())) == []


def test_one_for_one() -> None:
    """A healthy new replica lets one old one go, and only one."""
    assert verbs(decide((*olds(), healthy("new0", "new")), 0, desired())) == ["deregister old0"]


def test_stops_only_what_has_drained() -> None:
    """A draining replica is stopped when nothing is in flight, and its requests are aborted when its delay is over."""
    draining_for = replace(olds()[0], target=TargetState.DRAINING, in_flight=2)
    rest = (*olds()[1:], healthy("new0", "new"))
    assert verbs(decide((draining_for, *rest), 0, desired())) == []
    assert verbs(decide((replace(draining_for, in_flight=0), *rest), 0, desired())) == ["stop old0"]
    assert verbs(decide((replace(draining_for, draining_for=30 * SECOND), *rest), 0, desired())) == ["abort old0"]
    assert verbs(decide((replace(draining_for, draining_for=33 * SECOND), *rest), 0, desired())) == ["stop old0"]
    gone = replace(draining_for, in_flight=0, container=ContainerState.EXITED)
    assert verbs(decide((gone, *rest), 0, desired())) == ["remove old0", "start"]


def test_a_draining_replica_of_the_wanted_template_is_replaced() -> None:
    """It does not count towards the wanted ones, and its exit is no failure of the release."""
    kept = tuple(healthy(f"new{n}", "new", started_here=True) for n in range(2))
    leaving = healthy("new2", "new", started_here=True, target=TargetState.DRAINING, in_flight=2)
    assert verbs(decide((*kept, leaving), 0, desired())) == ["start"]
    decision = decide((*kept, replace(leaving, container=ContainerState.EXITED)), 0, desired())
    assert decision.failure is None
    assert verbs(decision) == ["remove new2", "start"]


def test_exit_fails_at_once() -> None:
    """A replica of ours that exits fails the release, without waiting for any timeout."""
    dead = Replica("new0", "new", ContainerState.EXITED, TargetState.INITIAL, started_here=True)
    failure = decide((*olds(), dead), 0, desired()).failure
    assert failure is not None
    assert (failure.name, failure.reason) == ("new0", "its container exited")


def test_unhealthy_fails_after_the_timeout() -> None:
    """A replica that does not become healthy in time fails the release, with what its checks said."""
    slow = Replica("new0", "new", ContainerState.RUNNING, TargetState.INITIAL, started_here=True, reason="codes: [500]")
    assert decide((*olds(), replace(slow, not_healthy_for=60 * SECOND)), 0, desired()).failure is None
    failure = decide((*olds(), replace(slow, not_healthy_for=61 * SECOND)), 0, desired()).failure
    assert failure is not None
    assert failure.reason == "it was not healthy for 60 s: codes: [500]"


def test_found_dead_is_replaced() -> None:
    """A replica that was dead before we came is taken out and replaced; it fails nothing."""
    dead = replace(healthy("new0", "new"), container=ContainerState.EXITED)
    decision = decide((dead, healthy("new1", "new"), healthy("new2", "new")), 0, desired())
    assert decision.failure is None
    assert verbs(decision) == ["deregister new0", "start"]


def test_unhealthy_old_ones_go_first() -> None:
    """Among the old, the unhealthy one is the first to leave."""
    sick = replace(olds()[2], target=TargetState.UNHEALTHY)
    assert verbs(decide((*olds()[:2], sick, healthy("new0", "new")), 0, desired())) == ["deregister old2"]


def test_sick_old_ones_are_not_given_up_for_nothing() -> None:
    """When every old replica is sick at the same time, none leaves before a new one is healthy: they may recover."""
    sick = tuple(replace(r, target=TargetState.UNHEALTHY) for r in olds())
    new = Replica("new0", "new", ContainerState.RUNNING, TargetState.INITIAL, started_here=True)
    assert verbs(decide((*sick, new), 0, desired())) == []
    assert verbs(decide((*sick, healthy("new0", "new")), 0, desired())) == ["deregister old0"]


def test_what_a_killed_runner_left_unproven_stands_for_nothing() -> None:
    """A container that never was healthy, registered or not, does not let an old one go, and goes itself."""
    lost = Replica("new0", "new", ContainerState.RUNNING, not_healthy_for=80 * SECOND)
    assert verbs(decide((healthy("old0"), lost), 0, desired(replicas=1))) == ["stop new0"]
    registered = replace(lost, target=TargetState.INITIAL)
    assert verbs(decide((healthy("old0"), registered), 0, desired(replicas=1))) == ["deregister new0"]


def test_all_at_once_with_a_full_surge() -> None:
    """A surge of 100 % starts every new replica at once."""
    assert verbs(decide(olds(), 0, desired(surge=3))) == ["start"] * 3


def test_stop_first_without_a_surge() -> None:
    """Without a surge one old replica leaves first, as far as max_unavailable allows."""
    assert verbs(decide(olds(), 0, desired(surge=0, unavailable=1))) == ["deregister old0"]


def test_scales_down_within_the_floor() -> None:
    """Five of the wanted template and two wanted: three leave, two stay."""
    five = tuple(healthy(f"new{n}", "new") for n in range(5))
    assert verbs(decide(five, 0, desired(replicas=2))) == ["deregister new0", "deregister new1", "deregister new2"]


def test_nothing_wanted_drains_all() -> None:
    """With no replica wanted, everything is deregistered at once."""
    assert verbs(decide(olds(), 0, desired(replicas=0))) == [f"deregister old{n}" for n in range(3)]


def test_converged() -> None:
    """Exactly what is wanted, settled and healthy: nothing to do, and it says so."""
    wanted = tuple(healthy(f"new{n}", "new") for n in range(3))
    assert decide(wanted, 0, desired()) == RolloutDecision(converged=True)
    assert not decide((*wanted[:2], replace(wanted[2], restart_policy_set=False)), 0, desired()).converged


@dataclass
class Sim:
    """One simulated container, and how its program behaves."""

    replica: Replica
    good: bool


class Rollout(RuleBasedStateMachine):
    """A world in which anything may happen between two decisions: slow starts, deaths, crashes of the runner.

    It holds a strategy to the contract of a rollout. A subclass tries another strategy.
    """

    strategy: Strategy = RollingStrategy()

    @initialize(
        replicas=st.integers(1, 4),
        surge=st.integers(0, 4),
        unavailable=st.integers(0, 4),
        old=st.integers(0, 4),
        good=st.booleans(),
        zones=st.lists(st.sampled_from([None, "zone-a", "zone-b"]), min_size=1, max_size=4),
        threshold=st.sampled_from([None, 1, 2, 4]),
    )
    def begin(
        self,
        replicas: int,
        surge: int,
        unavailable: int,
        old: int,
        good: bool,
        zones: list[str | None],
        threshold: int | None,
    ) -> None:
        within = desired(replicas, surge, unavailable if surge or unavailable else 1)
        self.want = replace(within, failure_threshold=threshold)
        self.failures: tuple[ReplicaFailure, ...] = ()
        self.release_is_good = good
        self.zones = cycle(zones)
        self.world = {f"old{n}": Sim(self.placed(healthy(f"old{n}")), good=True) for n in range(old)}
        self.serial = 0
        self.starting = 0
        self.failed = False

    def placed(self, replica: Replica) -> Replica:
        return replace(replica, zone=next(self.zones))

    def put(self, name: str, **changes: object) -> None:
        sim = self.world[name]
        sim.replica = replace(sim.replica, **changes)  # type: ignore[arg-type]

    def replicas(self) -> tuple[Replica, ...]:
        return tuple(sim.replica for sim in self.world.values())

    @rule()
    def decide(self) -> None:
        decision = self.look()
        self.failed |= decision.failure is not None
        assert not (decision.failure and decision.actions)
        for action in decision.actions:
            self.check_and_do(action)

    def look(self) -> RolloutDecision:
        """Return the decision about the world as it is, and keep the failures that it counts."""
        seen = Observation(self.replicas(), self.starting, failures=self.failures)
        decision = self.strategy.decide(seen, self.want)
        assert not {f.name for f in decision.counted} & {f.name for f in self.failures}
        self.failures += decision.counted
        assert (len(self.failures) >= (self.want.failure_threshold or 1)) == (decision.failure is not None)
        if decision.failure:
            # A failed rollout ends. What follows is another one.
            self.failures = ()
        return decision

    def check_and_do(self, action: RolloutAction) -> None:
        if action.verb is ActionType.START:
            assert sum(r.is_running for r in self.replicas()) + self.starting < self.want.max_running
            self.starting += 1
            return
        replica = self.world[action.name].replica
        assert not replica.action_pending
        match action.verb:
            case ActionType.REGISTER:
                self.put(action.name, target=TargetState.INITIAL)
            case ActionType.SET_RESTART_POLICY:
                self.put(action.name, restart_policy_set=True)
            case ActionType.DEREGISTER:
                if replica.is_running and replica.target is not TargetState.INITIAL:
                    proven = (TargetState.HEALTHY, TargetState.UNHEALTHY)
                    assert (
                        sum(r.is_running and r.target in proven for r in self.replicas()) - 1 >= self.want.min_healthy
                    )
                if replica.healthy:
                    assert sum(r.healthy for r in self.replicas()) - 1 >= self.want.min_healthy
                self.put(action.name, target=TargetState.DRAINING)
            case ActionType.ABORT:
                assert replica.draining_for >= self.want.deregistration_delay
                self.put(action.name, in_flight=0)
            case ActionType.STOP:
                assert replica.target in (None, TargetState.DRAINING)
                assert replica.in_flight == 0 or replica.draining_for >= self.want.deregistration_delay
                self.put(action.name, action_pending=True)
            case ActionType.REMOVE:
                assert not replica.is_running
                assert replica.target in (None, TargetState.DRAINING)
                del self.world[action.name]

    @precondition(lambda self: self.starting)
    @rule()
    def start_returns(self) -> None:
        self.starting -= 1
        self.serial += 1
        name = f"new{self.serial}"
        new = self.placed(Replica(name, "new", ContainerState.RUNNING, started_here=True))
        self.world[name] = Sim(new, self.release_is_good)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One replica becomes healthy or sick, dies, stops, or gets and finishes requests."""
        if not self.world:
            return
        name = data.draw(st.sampled_from(sorted(self.world)))
        sim = self.world[name]
        if sim.replica.action_pending:
            self.put(name, action_pending=False, container=ContainerState.EXITED)
            return
        match data.draw(st.sampled_from(["check", "sick", "die", "request", "answer"])):
            case "check" if sim.good and sim.replica.is_running and sim.replica.target in UNWELL:
                self.put(name, target=TargetState.HEALTHY, not_healthy_for=timedelta(0))
            case "sick" if sim.replica.target is TargetState.HEALTHY:
                self.put(name, target=TargetState.UNHEALTHY)
            case "die" if sim.replica.template == "old" or self.want.failure_threshold:
                self.put(name, container=ContainerState.EXITED)
            case "request" if sim.replica.healthy:
                self.put(name, in_flight=sim.replica.in_flight + 1)
            case "answer" if sim.replica.in_flight:
                self.put(name, in_flight=sim.replica.in_flight - 1)

    @rule(seconds=st.sampled_from([1, 10, 40]))
    def time_passes(self, seconds: int) -> None:
        for name, sim in self.world.items():
            replica = sim.replica
            if replica.is_draining:
                self.put(name, draining_for=replica.draining_for + seconds * SECOND)
            elif not replica.healthy:
                self.put(name, not_healthy_for=replica.not_healthy_for + seconds * SECOND)

    @rule()
    def runner_is_killed(self) -> None:
        """Actions that were asked of Docker happen or not; the next runner knows nothing of it."""
        self.starting, self.failures = 0, ()
        for name in list(self.world):
            self.put(name, started_here=False, action_pending=False, restart_policy_set=False)

    @invariant()
    def bad_release_is_never_called_converged(self) -> None:
        if hasattr(self, "world") and not self.release_is_good:
            seen = Observation(self.replicas(), self.starting, failures=self.failures)
            assert not self.strategy.decide(seen, self.want).converged

    def teardown(self) -> None:
        """From any situation, a world that behaves reaches what was wanted, or is told that it cannot."""
        if not hasattr(self, "world"):
            return
        for name, sim in self.world.items():
            self.put(name, in_flight=0, not_healthy_for=timedelta(0), target=sim.replica.target and self.well(sim))
        for _ in range(200):
            decision = self.look()
            if decision.converged or decision.failure:
                break
            for action in decision.actions:
                self.check_and_do(action)
            self.settle_world()
        if self.release_is_good and not decision.failure:
            assert decision.converged, self.world
        if not self.release_is_good:
            assert decision.failure is not None

    def well(self, sim: Sim) -> TargetState | None:
        unwell = sim.replica.target is TargetState.UNHEALTHY and sim.good
        return TargetState.HEALTHY if unwell else sim.replica.target

    def settle_world(self) -> None:
        while self.starting:
            self.start_returns()
        for name, sim in list(self.world.items()):
            if sim.replica.action_pending:
                self.put(name, action_pending=False, container=ContainerState.EXITED)
            elif sim.good and sim.replica.target in UNWELL and sim.replica.is_running:
                self.put(name, target=TargetState.HEALTHY, not_healthy_for=timedelta(0))
        self.time_passes(10)


UNWELL = (TargetState.INITIAL, TargetState.UNHEALTHY)

TestRollout = Rollout.TestCase
TestRollout.settings = settings(max_examples=sampled(500), stateful_step_count=40, deadline=None)
