"""The balancer over a fake data plane, with any order of calls and a crash in between."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact, Facts, TargetFact
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.targets import Registration
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.sample import sampled
from tests.support.waiting import until

OWNER, GROUP = "shop", "shop.web"
NAMES = st.sampled_from("aaab")
PASSED, FAILED = CheckFact("passed", passes=1), CheckFact("mismatch", code="503", text="503")
# In which call of the data plane our process ends, after how many others of it, and whether it was carried out.
DEATHS = st.none() | st.tuples(
    st.sampled_from(["observe", "steer", "apply", "extend"]), st.integers(0, 1), st.booleans()
)

Death = tuple[str, int, bool] | None


def declaration(*groups: str) -> Declaration:
    return Declaration.model_validate(
        {
            "target_groups": {name: {"port": 80} for name in ("web", *groups)},
            "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
        }
    )


def target(name: str, number: int = 1) -> Target:
    return Target(id=name, address=f"10.0.0.{number}", port=80)


class KilledError(BaseException):
    """The process of the test was killed here."""


@dataclass
class Known:
    """The expected state of a registration. `passed`: a check has passed since the registration."""

    target: Target
    wanted: bool = True
    passed: bool = False

    def serves(self) -> bool:
        """Return whether the target may get requests."""
        return self.wanted and self.passed


class Machine(RuleBasedStateMachine):
    """Registers, checks, drains and kills. `unsettled`: no reconciliation since the last kill."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.plane = FakePlane()
        self.known: dict[str, Known] = {}
        self.unsettled = False
        self.balancer = Balancer(self.directory, self.plane)
        self.balancer.apply(OWNER, declaration())

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    def survives(self, death: Death, act: Callable[[], object]) -> bool:
        """Return whether the process survived a call. If not, another process takes over."""
        if death:
            call, skip, after = death
            self.plane.fail(call, KilledError(), skip=skip, after=after)
        try:
            act()
        except KilledError:
            self.unsettled = True
            self.balancer = Balancer(self.directory, self.plane)
            return False
        finally:
            self.plane.heal()
        return True

    @rule(name=NAMES, number=st.sampled_from([1, 1, 1, 2]), death=DEATHS)
    def register(self, name: str, number: int, death: Death) -> None:
        before = self.registrations()
        self.survives(death, lambda: self.balancer.register(OWNER, "web", target(name, number)))
        # A registration that is unchanged, or was not written before the kill, is the previous one.
        found = self.registrations()
        if name in found and found[name].since != (before[name].since if name in before else None):
            admitted_now = name in before and before[name].target == found[name].target and before[name].wanted == "in"
            if not admitted_now:
                self.known[name] = Known(target(name, number))

    @rule(name=NAMES, death=DEATHS)
    def deregister(self, name: str, death: Death) -> None:
        returned = self.survives(death, lambda: self.balancer.deregister(OWNER, "web", name))
        if name in self.known:
            self.known[name].wanted = False
        assert not returned or not self.is_open(name)

    @rule(name=NAMES, death=DEATHS)
    def forget(self, name: str, death: Death) -> None:
        if name in self.known and not self.known[name].wanted:
            self.survives(death, lambda: self.balancer.remove_target(OWNER, "web", name))
            del self.known[name]

    @rule(name=NAMES, answer=st.sampled_from([PASSED, FAILED]))
    def check(self, name: str, answer: CheckFact) -> None:
        """Run one round of checks, in which one target's response changes."""
        self.plane.answer_checks(name, answer)
        self.run_checks()

    def run_checks(self) -> None:
        self.plane.run_checks()
        for id_, fact in self.targets().items():
            known = self.known.get(id_)
            if known and fact.check.has_passed_check and fact.endpoint == f"{known.target.address}:{known.target.port}":
                known.passed = True

    @rule(death=DEATHS, maintains=st.booleans())
    def reconcile(self, death: Death, maintains: bool) -> None:
        if self.survives(death, self.balancer.ensure_running if maintains else self.balancer.reconcile):
            self.unsettled = False

    @rule(groups=st.sampled_from([(), ("api",)]), death=DEATHS)
    def change(self, groups: tuple[str, ...], death: Death) -> None:
        """Add or remove another group, which reloads the plane."""
        self.survives(death, lambda: self.balancer.apply(OWNER, declaration(*groups)))

    @rule()
    def plane_dies(self) -> None:
        self.plane.forget()

    @rule()
    def request(self) -> None:
        chosen = self.plane.send(GROUP)
        assert chosen is None or self.unsettled or self.known[chosen].serves()

    @rule(name=NAMES)
    def response(self, name: str) -> None:
        self.plane.finish(GROUP, name)

    @rule()
    def converge(self) -> None:
        """After two reconciliations at most, nothing is left to do."""
        for _ in range(2):
            self.balancer.reconcile()
        self.unsettled = False
        registry = self.balancer.registry()
        left = reconcile(registry, self.plane.observe())
        assert (left.registry, left.apply, left.steer) == (registry, False, ())
        facts = self.targets()
        for name, registration in self.registrations().items():
            open_ = name in facts and facts[name].admitted
            assert open_ == (registration.wanted == "in" and registration.admitted)
            assert open_ or not (registration.wanted == "in" and facts[name].check.has_passed_check)

    @rule()
    def come_to_serve(self) -> None:
        """A target whose checks pass is in service after two reconciliations."""
        for name in "ab":
            self.plane.answer_checks(name, PASSED)
            self.plane.finish(GROUP, name)
        for _ in range(4):
            self.balancer.reconcile()
            self.run_checks()
            for name in "ab":
                self.plane.finish(GROUP, name)
        self.unsettled = False
        assert {name for name in self.known if self.is_open(name)} == {n for n, k in self.known.items() if k.wanted}

    @invariant()
    def the_registry_is_what_was_asked_for(self) -> None:
        found = {name: (r.target, r.wanted) for name, r in self.registrations().items()}
        assert found == {name: (k.target, "in" if k.wanted else "out") for name, k in self.known.items()}

    @invariant()
    def nothing_is_admitted_that_has_not_passed(self) -> None:
        admitted = [name for name, registration in self.registrations().items() if registration.admitted]
        assert all(self.known[name].passed for name in admitted)

    @invariant()
    def nothing_else_is_open(self) -> None:
        """No other target is open, unless the process was killed before it could be closed."""
        assert self.unsettled or all(self.known[name].serves() for name in self.targets() if self.is_open(name))

    @invariant()
    def a_group_that_is_not_told_of_is_left_alone(self) -> None:
        registry = self.balancer.registry()
        result = reconcile(registry, Facts(running=True, at=self.plane.observe().at, targets={}))
        assert (result.registry, result.apply, result.steer) == (registry, False, ())

    def registrations(self) -> dict[str, Registration]:
        return {r.target.id: r for r in self.balancer.registry().registrations(OWNER, "web")}

    def targets(self) -> dict[str, TargetFact]:
        return dict(self.plane.observe([GROUP]).targets.get(GROUP, {}))

    def is_open(self, name: str) -> bool:
        return name in self.targets() and self.targets()[name].admitted


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def balancer(tmp_path: Path, plane: FakePlane) -> Balancer:
    """A balancer with a group and a target in service."""
    balancer = Balancer(tmp_path, plane)
    balancer.apply(OWNER, declaration())
    plane.answer_checks("a", PASSED)
    balancer.register(OWNER, "web", target("a"))
    plane.run_checks()
    balancer.reconcile()
    return balancer


def states(balancer: Balancer) -> dict[str, tuple[TargetState, str]]:
    return {h.target.id: (h.state, h.reason) for h in balancer.target_health(OWNER, "web")}


def test_whatever_comes() -> None:
    """The invariants hold after every step."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=sampled(200), stateful_step_count=30, deadline=None)
    )


@pytest.mark.parametrize("after", [False, True])
def test_a_pass_from_before_does_not_count(balancer: Balancer, plane: FakePlane, tmp_path: Path, after: bool) -> None:
    """A target registered again after an interrupted deregistration must pass again."""
    plane.answer_checks("b", PASSED)
    balancer.register(OWNER, "web", target("b"))
    plane.run_checks()
    plane.fail("steer", KilledError(), after=after)
    with pytest.raises(KilledError):
        balancer.deregister(OWNER, "web", "b")
    again = Balancer(tmp_path, plane)
    again.register(OWNER, "web", target("b"))
    again.reconcile()
    assert states(again)["b"][0] is TargetState.INITIAL
    plane.run_checks()
    again.reconcile()
    assert states(again)["b"][0] is TargetState.HEALTHY


def test_reading_admits_nothing(balancer: Balancer, plane: FakePlane) -> None:
    """Reading health admits no target, and a reconciliation does."""
    plane.answer_checks("b", PASSED)
    balancer.register(OWNER, "web", target("b"))
    plane.run_checks()
    for _ in range(3):
        assert states(balancer)["b"] == (TargetState.INITIAL, "Elb.InitialHealthChecking")
    balancer.reconcile(OWNER, "web")
    assert states(balancer) == dict.fromkeys("ab", (TargetState.HEALTHY, ""))


def test_a_new_target_costs_no_look_at_the_others(balancer: Balancer, plane: FakePlane) -> None:
    """A new target is added without an observation, one that comes back after one."""
    before = plane.calls["observe"], plane.calls["steer"]
    balancer.register(OWNER, "web", target("b"))
    assert (plane.calls["observe"], plane.calls["steer"]) == before
    balancer.register(OWNER, "web", target("b", 2))
    assert plane.calls["observe"] > before[0]
    assert [states(balancer)[name][0] for name in "ab"] == [TargetState.HEALTHY, TargetState.INITIAL]


@pytest.mark.parametrize("after", [False, True])
def test_a_new_target_that_the_plane_does_not_take_at_once(balancer: Balancer, plane: FakePlane, after: bool) -> None:
    """If the plane fails to add a target, the reconciliation adds it, and what was added before does not count."""
    plane.fail("extend", after=after)
    plane.answer_checks("b", PASSED)
    balancer.register(OWNER, "web", target("b"))
    assert states(balancer)["b"][0] is TargetState.INITIAL
    plane.run_checks()
    balancer.reconcile()
    assert states(balancer)["b"][0] is TargetState.HEALTHY


def test_a_new_target_that_was_not_written_is_removed(balancer: Balancer, plane: FakePlane) -> None:
    """If a process is killed before it has written a new target, the next one removes it from the plane."""
    plane.fail("extend", KilledError(), after=True)
    plane.answer_checks("b", PASSED)
    with pytest.raises(KilledError):
        balancer.register(OWNER, "web", target("b"))
    plane.run_checks()
    Balancer(balancer.directory, plane).reconcile()
    assert set(plane.observe([GROUP]).targets[GROUP]) == {"a"}


def test_a_settled_group_is_observed_once(balancer: Balancer, plane: FakePlane) -> None:
    """The health after a reconciliation is that of a look, and costs no second one if nothing changes."""
    plane.answer_checks("b", PASSED)
    balancer.register(OWNER, "web", target("b"))
    plane.run_checks()
    assert [h.state for h in balancer.reconciled_health(OWNER, "web")] == [TargetState.HEALTHY] * 2
    before = plane.calls["observe"]
    assert [h.state for h in balancer.reconciled_health(OWNER, "web")] == [TargetState.HEALTHY] * 2
    assert plane.calls["observe"] == before + 1
    assert balancer.reconciled_health(OWNER, "other") == ()


def test_a_plane_that_does_not_run(balancer: Balancer, plane: FakePlane) -> None:
    """Without a running plane targets are unhealthy, and only `reconcile` starts it."""
    balancer.register(OWNER, "web", target("leaving"))
    balancer.deregister(OWNER, "web", "leaving")
    plane.forget()
    assert states(balancer) == {
        "a": (TargetState.UNHEALTHY, "Elb.InternalError"),
        "leaving": (TargetState.DRAINING, "Target.DeregistrationInProgress"),
    }
    assert balancer.pid() is None
    assert (balancer.reconcile(), balancer.reconcile()) == (True, False)
    assert states(balancer)["a"] == (TargetState.HEALTHY, "")


def test_a_plane_that_dies_between_observation_and_change(balancer: Balancer, plane: FakePlane) -> None:
    """A plane that dies after its observation is restarted and updated."""

    class DyingPlane(FakePlane):
        def steer(self, group: object) -> None:
            plane.forget()
            raise BalancerFault("no response")

    plane.steer = DyingPlane().steer  # type: ignore[method-assign]
    balancer.deregister(OWNER, "web", "a")
    assert plane.calls["apply"] == 2
    assert not plane.observe([GROUP]).targets[GROUP]


def test_a_refused_change_leaves_everything_as_it_was(balancer: Balancer, plane: FakePlane) -> None:
    """If the plane rejects a change, the previous declaration is in force."""
    plane.fail("apply")
    with pytest.raises(BalancerFault):
        balancer.apply(OWNER, declaration("api"))
    assert balancer.declaration(OWNER) == declaration()
    assert states(balancer)["a"] == (TargetState.HEALTHY, "")


def test_waiting_for_health(balancer: Balancer, plane: FakePlane) -> None:
    """Waiting returns when all targets are healthy, and names the others after the timeout."""
    balancer.wait_healthy(OWNER, "web", timedelta(0))
    plane.answer_checks("b", FAILED)
    balancer.register(OWNER, "web", target("b"))
    plane.run_checks()
    with pytest.raises(BalancerFault) as late:
        balancer.wait_healthy(OWNER, "web", timedelta(0))
    assert late.value.message == "not healthy within 0 s: b is initial: Health checks failed with these codes: [503]"
    balancer.deregister(OWNER, "web", "b")
    balancer.wait_healthy(OWNER, "web", timedelta(0))


def test_reads_wait_for_no_change(balancer: Balancer, plane: FakePlane) -> None:
    """Reads do not wait for a change that hangs, and other changes do."""
    before = plane.calls["steer"]
    with plane.hanging("steer"):
        acting = threading.Thread(target=lambda: balancer.deregister(OWNER, "web", "a"))
        acting.start()
        until(lambda: plane.calls["steer"] > before, "it hangs")
        assert states(balancer)["a"][0] is TargetState.DRAINING
        assert balancer.declaration(OWNER) == declaration()
        assert balancer.pid() is not None
    acting.join()


def test_nothing_is_made_where_nothing_is_declared(tmp_path: Path, plane: FakePlane) -> None:
    """Reading and reconciling do not create a missing directory."""
    balancer = Balancer(tmp_path / "balancer", plane)
    assert balancer.reconcile() is False
    assert balancer.reconcile(OWNER, "web") is False
    assert balancer.target_health(OWNER, "web") == ()
    assert list(tmp_path.iterdir()) == []
