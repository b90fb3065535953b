"""The supervisor of the balancer, over a fake data plane."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.base.clock import SystemClock
from pipeline.base.errors import BalancerFault
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.waiting import until

DECLARED = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
    }
)
PASSED = CheckFact("passed", passes=1)

Emitted = list[tuple[str, str]]


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def balancer(tmp_path: Path, plane: FakePlane, monkeypatch: pytest.MonkeyPatch) -> Balancer:
    """A balancer with one target whose first health check has not finished."""
    monkeypatch.setattr("pipeline.balancer.balancer.check_ports_free", lambda *_: None)
    balancer = Balancer(tmp_path, plane)
    balancer.apply("shop", DECLARED)
    balancer.register("shop", "web", Target(id="a", address="10.0.0.1", port=80))
    return balancer


def await_rounds(plane: FakePlane) -> None:
    """Wait until the supervisor has completed a round after its first one."""
    # The balancer's `apply` of the fixture is the other call.
    until(lambda: plane.calls["maintain"] > 1, "the first round")
    before = plane.calls["pid"]
    until(lambda: plane.calls["pid"] > before + 3, "another round, which reads the pid twice")


@pytest.fixture
def emitted(balancer: Balancer) -> Iterator[Emitted]:
    """Run a supervisor and yield the events that it emits."""
    emitted: Emitted = []
    supervisor = BalancerSupervisor(
        balancer, lambda kind, message: emitted.append((kind, message)), SystemClock(), timedelta(milliseconds=10)
    )
    working = threading.Thread(target=supervisor.run_forever)
    working.start()
    yield emitted
    supervisor.stop()
    working.join(10)
    assert not working.is_alive()


def states(balancer: Balancer) -> set[TargetState]:
    return {health.state for health in balancer.target_health("shop", "web")}


@pytest.mark.usefixtures("emitted")
def test_targets_come_into_service(balancer: Balancer, plane: FakePlane) -> None:
    """A target receives traffic after its health checks pass, without a command."""
    plane.answer_checks("a", PASSED)
    plane.run_checks()
    until(lambda: states(balancer) == {TargetState.HEALTHY}, "the target is healthy")


def test_a_plane_that_has_died_is_started(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """A data plane that died is restarted, with one event."""
    await_rounds(plane)
    before = plane.calls["observe"]
    plane.forget()
    until(lambda: plane.observe().running, "the plane runs")
    until(lambda: plane.calls["observe"] > before + 10, "further observations")
    assert emitted == [("balancer.restarted", "HAProxy was not running or did not respond, restarted it")]


def test_a_plane_that_a_signal_stopped_is_continued(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """With one event, and without a restart."""
    await_rounds(plane)
    plane.halt()
    until(lambda: not balancer.stopped(), "the plane is continued")
    until(lambda: emitted, "an event")
    assert [kind for kind, _ in emitted] == ["balancer.resumed"]


def test_a_plane_that_hangs_is_replaced(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """It is ended and started again."""
    await_rounds(plane)
    plane.hangs = True
    until(lambda: emitted, "an event")
    assert [kind for kind, _ in emitted] == ["balancer.restarted"]
    assert plane.observe().running


def test_a_plane_that_a_command_restarted_is_reported(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """A data plane that a command restarted is reported, because its pid changed."""
    await_rounds(plane)
    plane.forget()
    balancer.reconcile()
    until(lambda: emitted, "an event")
    assert [kind for kind, _ in emitted] == ["balancer.restarted"]


def test_a_fault_is_reported_once_and_retried(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """A fault is emitted once and retried. A different fault is emitted too."""
    await_rounds(plane)
    plane.forget()
    plane.fail("apply", BalancerFault("no HAProxy"), times=6)
    plane.fail("apply", BalancerFault("no port"), times=2)
    until(lambda: plane.observe().running, "the plane runs")
    faults = [message for kind, message in emitted if kind == "balancer.failed"]
    assert faults == ["no HAProxy", "no port"]


def test_nothing_is_started_where_nothing_is_declared(balancer: Balancer, plane: FakePlane, emitted: Emitted) -> None:
    """Without declarations the data plane stops and is not restarted."""
    await_rounds(plane)
    balancer.withdraw("shop")
    before = plane.calls["apply"]
    until(lambda: not plane.observe().running, "the plane has stopped")
    assert plane.calls["apply"] == before
    assert emitted == []
