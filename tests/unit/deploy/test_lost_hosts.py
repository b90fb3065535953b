"""Rollouts on hosts whose engines are lost and come back: examples, and a machine that tries every order of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.balancer.model import TargetState
from pipeline.base.errors import EngineFault, HostLost
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.decision import ActionType, DesiredState, RolloutAction
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling import RollingStrategy
from tests.support.balancer import FakeBalancer
from tests.support.host_world import HostWorld
from tests.support.sample import sampled
from tests.support.waiting import until

SECOND = timedelta(seconds=1)
ZONES = {"one": "a", "two": "b", "three": "c"}
SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="t1", image="app", port=8080)


class HostRollout:
    """A service on three hosts, whose replicas are observed and changed as a deployment does.

    `dead` names hosts whose machine is off, so that the targets there fail their checks too. It is an error to take a
    healthy target away below the minimum, and to end a replica that may get requests.
    """

    def __init__(self, replicas: int = 3, surge: int = 1, unavailable: int = 0) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.world = HostWorld(ZONES, self.clock)
        self.hosts = self.world.runtime()
        self.runtime = PatientRuntime(self.hosts)
        self.runtime.prepare("shop")
        self.balancer = FakeBalancer(is_up=self.is_up, now=self.clock.now)
        self.balancer.enabled = tuple(ZONES.values())
        self.dead: set[str] = set()
        self.release = 1
        self.may_fail = False
        self.want = DesiredState(
            "t1", replicas, surge, unavailable, 30 * SECOND, 60 * SECOND, zones=tuple(ZONES.values())
        )
        self.restart_process()

    def restart_process(self) -> None:
        """Continue as a new process, which knows nothing."""
        self.replicas = ReplicaSet(self.runtime, self.balancer, "shop", "web", now=self.clock.now)

    def roll_out(self, release: int) -> None:
        """Want another release from now on."""
        self.release, self.want = release, replace(self.want, template=f"t{release}")

    def running(self) -> dict[str, str]:
        """Return the host of each running container, also of those that no engine tells of."""
        return {name: host for host in ZONES for name in self.world.engines[host].containers.running()}

    def is_up(self, name: str) -> bool:
        """Return whether the balancer's checks pass."""
        return self.running().get(name, "") not in ("", *self.dead)

    def lose(self, host: str, *, is_dead: bool = False) -> None:
        """Cut the way to an engine, or switch the machine off."""
        self.world.lose(host)
        if is_dead:
            self.dead.add(host)

    def bring_back(self, host: str) -> None:
        """Let an engine answer, with the containers that it had."""
        self.world.bring_back(host)
        self.dead.discard(host)

    def step(self) -> bool:
        """Observe, decide and act once. Returns whether the rollout has converged."""
        decision = RollingStrategy().decide(self.replicas.observe(reconcile=True), self.want)
        if decision.failure:
            # Only time can make a release fail here: no container exits.
            assert "was not healthy for" in decision.failure.reason
            assert self.may_fail, decision.failure
            self.restart_process()
            return False
        for action in decision.actions:
            self.act(action)
        self.clock.advance(SECOND)
        return decision.converged

    def act(self, action: RolloutAction) -> None:
        """Carry out an action, as the executor does."""
        name = action.name
        match action.verb:
            case ActionType.START:
                name = self.replicas.reserve(self.release, action.zone)
                spec = replace(SPEC, release=self.release, template=self.want.template)
                try:
                    self.replicas.start(name, spec)
                except HostLost:
                    return
            case ActionType.REGISTER:
                self.replicas.register(name, 8080)
            case ActionType.SET_RESTART_POLICY:
                self.replicas.set_restart_policy(name, RestartPolicy.ALWAYS)
            case ActionType.DEREGISTER:
                self.check_deregistration(name)
                self.replicas.deregister(name)
            case ActionType.ABORT:
                self.replicas.abort_connections(name)
            case ActionType.STOP:
                assert self.balancer.states().get(name) in (None, TargetState.DRAINING)
                self.replicas.stop(name)
            case ActionType.REMOVE:
                assert self.balancer.states().get(name) in (None, TargetState.DRAINING)
                self.replicas.remove(name)

    def check_deregistration(self, name: str) -> None:
        """Assert that a healthy target is only taken away within the limits, whatever its engine says."""
        states = self.balancer.states()
        if states[name] is TargetState.HEALTHY:
            left = sum(state is TargetState.HEALTHY for other, state in states.items() if other != name)
            assert left >= self.want.min_healthy, f"{name} is taken away, and {left} healthy targets are left"

    def converge(self) -> None:
        """Step until the rollout has converged."""
        for _ in range(300):
            if self.step():
                return
        raise AssertionError(f"it does not converge: {self.replicas.observe().replicas}")

    def wait_for_hosts(self, *names: str) -> None:
        """Wait until hosts answer again, by default all. Threads of the runtime try to reach them."""
        until(lambda: self._answer(names or tuple(ZONES)), "the hosts that are back")

    def _answer(self, names: tuple[str, ...]) -> bool:
        self.clock.advance(2 * SECOND)
        try:
            self.runtime.list("shop")
        except EngineFault:
            return False
        return not {*names} & {*self.runtime.lost}

    def close(self) -> None:
        """Close the connections."""
        self.hosts.close()


@pytest.fixture
def rollout() -> HostRollout:
    """Three replicas of release 1, one on each host."""
    rollout = HostRollout()
    rollout.converge()
    assert Counter(rollout.running().values()) == {"one": 1, "two": 1, "three": 1}
    return rollout


def _on(rollout: HostRollout, host: str) -> str:
    return next(name for name, place in rollout.running().items() if place == host)


def test_a_target_serves_while_its_engine_is_lost(rollout: HostRollout) -> None:
    """It stays until another one is healthy, and then drains. The application may serve although the engine is gone."""
    name = _on(rollout, "two")
    rollout.lose("two")
    rollout.step()
    assert rollout.balancer.states()[name] is TargetState.HEALTHY
    rollout.converge()
    assert name not in rollout.balancer.states()
    assert rollout.runtime.lost == ("two",)
    assert len(rollout.balancer.states()) == 3
    rollout.bring_back("two")
    rollout.wait_for_hosts()
    rollout.converge()
    # What was left there had no target any more.
    assert name not in rollout.running()
    assert rollout.running().keys() == rollout.balancer.states().keys()


def test_a_target_of_a_dead_machine_goes_at_once(rollout: HostRollout) -> None:
    """Its requests in flight are lost anyway, and nothing waits for them."""
    name = _on(rollout, "two")
    rollout.balancer.in_flight[name] = 3
    rollout.lose("two", is_dead=True)
    for _ in range(3):
        rollout.step()
    assert name not in rollout.balancer.states()


def test_requests_in_flight_finish_on_a_lost_host(rollout: HostRollout) -> None:
    """A healthy target that drains is removed when they have finished, or its delay is over."""
    name = _on(rollout, "two")
    rollout.balancer.in_flight[name] = 1
    rollout.lose("two")
    for _ in range(20):
        rollout.step()
    assert rollout.balancer.states()[name] is TargetState.DRAINING
    rollout.balancer.in_flight[name] = 0
    rollout.converge()
    assert name not in rollout.balancer.states()


def test_requests_that_never_end_are_aborted_on_a_lost_host(rollout: HostRollout) -> None:
    """So the deployment ends, also if the balancer still counts some."""
    name = _on(rollout, "two")
    rollout.balancer.in_flight[name] = 1
    rollout.balancer.endless.add(name)
    rollout.lose("two")
    rollout.converge()
    assert name in rollout.balancer.aborted
    assert name not in rollout.balancer.states()


def test_a_host_that_takes_no_replicas_is_emptied(rollout: HostRollout) -> None:
    """One after the other, and what is missing is started elsewhere. Its zone has none, so another one gets them."""
    rollout.hosts.place_on(["one", "three"])
    rollout.converge()
    assert Counter(rollout.running().values()).keys() == {"one", "three"}
    assert len(rollout.running()) == 3


def test_a_host_is_lost_in_the_middle_of_a_deployment(rollout: HostRollout) -> None:
    """Before, during and after the start of its new replica."""
    rollout.roll_out(2)
    rollout.step()
    rollout.step()
    rollout.lose("one", is_dead=True)
    rollout.converge()
    states = rollout.balancer.states()
    assert {rollout.running()[name] for name in states} == {"two", "three"}
    assert len(states) == 3
    assert all(".r2." in name for name in states)


def test_a_new_replica_comes_back_with_its_host(rollout: HostRollout) -> None:
    """Its release does not fail because it was not healthy meanwhile. It is stopped: another one has its place."""
    rollout.roll_out(2)
    rollout.step()
    (new,) = (name for name in rollout.running() if ".r2." in name)
    host = rollout.running()[new]
    rollout.lose(host, is_dead=True)
    rollout.converge()
    rollout.clock.advance(120 * SECOND)
    rollout.bring_back(host)
    rollout.wait_for_hosts()
    rollout.converge()
    assert new not in rollout.running()
    assert rollout.running().keys() == rollout.balancer.states().keys()


def test_nothing_is_decided_while_all_hosts_are_lost(rollout: HostRollout) -> None:
    """The targets stay as they are."""
    before = rollout.balancer.states()
    for host in ZONES:
        rollout.lose(host)
    with pytest.raises(EngineFault, match="all hosts are lost"):
        rollout.step()
    assert rollout.balancer.states() == before


class LostHosts(RuleBasedStateMachine):
    """A world in which hosts are lost, die and come back between any two steps, and the process is killed."""

    @initialize(replicas=st.integers(1, 4), surge=st.integers(0, 2), unavailable=st.integers(0, 2))
    def begin(self, replicas: int, surge: int, unavailable: int) -> None:
        self.rollout = HostRollout(replicas, surge, unavailable if surge or unavailable else 1)
        self.lost: set[str] = set()
        self.taking = {*ZONES}
        self.rollout.converge()

    @rule()
    def step(self) -> None:
        try:
            self.rollout.step()
        except EngineFault:
            assert self.taking <= self.lost, "no host that takes replicas answers only then"

    @rule(host=st.sampled_from([*ZONES]), is_dead=st.booleans())
    def lose(self, host: str, is_dead: bool) -> None:
        self.rollout.lose(host, is_dead=is_dead)
        self.lost.add(host)

    @rule(host=st.sampled_from([*ZONES]))
    def bring_back(self, host: str) -> None:
        self.rollout.bring_back(host)
        self.lost.discard(host)
        self.rollout.wait_for_hosts(host)

    @rule(hosts=st.sets(st.sampled_from([*ZONES]), min_size=1))
    def drain(self, hosts: set[str]) -> None:
        self.rollout.hosts.place_on(hosts)
        self.taking = hosts

    @rule(release=st.integers(1, 3))
    def roll_out(self, release: int) -> None:
        # A deployment begins with what it finds.
        self.rollout.restart_process()
        self.rollout.roll_out(release)

    @rule()
    def restart_process(self) -> None:
        self.rollout.restart_process()

    @rule(number=st.integers(0, 5), requests=st.integers(0, 2))
    def requests(self, number: int, requests: int) -> None:
        names = sorted(self.rollout.balancer.states())
        if number < len(names):
            self.rollout.balancer.in_flight[names[number]] = requests

    @rule(seconds=st.sampled_from([1, 20, 70]))
    def wait(self, seconds: int) -> None:
        """Let time pass without a look, as for a process that is suspended."""
        self.rollout.may_fail = True
        self.rollout.clock.advance(seconds * SECOND)

    @invariant()
    def nothing_runs_beyond_what_is_allowed(self) -> None:
        """At most the limit runs where an engine answers."""
        if hasattr(self, "rollout"):
            found = [host for host in self.rollout.running().values() if host not in self.lost]
            assert len(found) <= 2 * self.rollout.want.max_running

    def teardown(self) -> None:
        """Once all hosts are back, the wanted replicas run once, each is a healthy target, and nothing else is left."""
        if not hasattr(self, "rollout"):
            return
        rollout = self.rollout
        for host in ZONES:
            rollout.bring_back(host)
        rollout.balancer.in_flight.clear()
        rollout.wait_for_hosts()
        rollout.converge()
        assert rollout.running().keys() == rollout.balancer.states().keys()
        assert len(rollout.running()) == rollout.want.replicas
        assert set(rollout.balancer.states().values()) == {TargetState.HEALTHY}
        rollout.close()


TestLostHosts = LostHosts.TestCase
TestLostHosts.settings = settings(max_examples=sampled(300), stateful_step_count=40, deadline=None)
