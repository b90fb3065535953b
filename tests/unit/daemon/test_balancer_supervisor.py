"""The supervisor of the balancer, over a fake data plane."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import ApplicationTargetGroup, Declaration, Target, TargetState
from pipeline.balancer.resources import TargetGroupResource
from pipeline.base.clock import SystemClock
from pipeline.base.errors import BalancerFault
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from pipeline.daemon.endpoint_reports import EndpointReports
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.plane_monitor import FakeMonitor
from tests.support.endpoints import consumer, provider
from tests.support.waiting import DEADLINE, until

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
def balancer(tmp_path: Path, plane: FakePlane) -> Balancer:
    """A balancer with one target whose first health check has not finished."""
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
    working.join(DEADLINE)
    assert not working.is_alive()


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def changed(balancer: Balancer, monitor: FakeMonitor) -> Iterator[list[str | None]]:
    """Run a supervisor with a monitor, and yield the owners that it reports."""
    changed: list[str | None] = []
    supervisor = BalancerSupervisor(
        balancer,
        lambda *_: None,
        SystemClock(),
        timedelta(milliseconds=10),
        monitor=monitor,
        changed=changed.append,
    )
    working = threading.Thread(target=supervisor.run_forever)
    working.start()
    until(lambda: supervisor.is_watching, "the first round")
    yield changed
    supervisor.stop()
    working.join(DEADLINE)
    assert not working.is_alive()
    assert monitor.fileno() == -1


def settle(balancer: Balancer, plane: FakePlane, monitor: FakeMonitor) -> None:
    """Let the target pass its check, and wait until the plane is only pinged."""
    plane.answer_checks("a", PASSED)
    plane.run_checks()
    until(lambda: states(balancer) == {TargetState.HEALTHY}, "the target is healthy")
    asked = monitor.asked
    until(lambda: monitor.asked > asked + 2, "pings")


def states(balancer: Balancer) -> set[TargetState]:
    return {health.state for health in balancer.target_health("shop", "web")}


def test_reports_are_counted(balancer: Balancer, monitor: FakeMonitor) -> None:
    """Before the change is passed on. Their number is not known while the plane cannot report."""
    seen = list[int | None]()
    supervisor = BalancerSupervisor(
        balancer,
        lambda *_: None,
        SystemClock(),
        timedelta(milliseconds=10),
        monitor=monitor,
        changed=lambda owner: seen.append(supervisor.reports) if owner == "reported" else None,
    )
    assert supervisor.reports is None
    working = threading.Thread(target=supervisor.run_forever)
    working.start()
    until(lambda: supervisor.reports is not None, "the first round")
    before = supervisor.reports
    monitor.report("reported")
    until(lambda: seen, "the report")
    supervisor.stop()
    working.join(DEADLINE)
    assert seen != [before]


@pytest.mark.usefixtures("emitted")
def test_targets_come_into_service(balancer: Balancer, plane: FakePlane) -> None:
    """A target receives traffic after its health checks pass, without a command."""
    plane.answer_checks("a", PASSED)
    plane.run_checks()
    until(lambda: states(balancer) == {TargetState.HEALTHY}, "the target is healthy")


@pytest.mark.usefixtures("emitted")
def test_drains_of_targets_of_the_api_end(balancer: Balancer) -> None:
    """After their delay, without a further call. Those of pipeline.yaml are left to their deployment."""
    settings = ApplicationTargetGroup.model_validate({"port": 80, "deregistration_delay": "0s"})
    group = TargetGroupResource(id="0" * 16, owner="shop", made_by="api", name="api", settings=settings)
    balancer.change("shop", lambda known: known.put(group))
    balancer.register("shop", "api", Target(id="b", address="10.0.0.2", port=80))
    for name, target in (("web", "a"), ("api", "b")):
        balancer.deregister("shop", name, target)
    until(lambda: not balancer.registry().registrations("shop", "api"), "the drain has ended")
    assert len(balancer.registry().registrations("shop", "web")) == 1


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


def test_a_network_that_its_endpoint_has_lost_is_reported(
    balancer: Balancer, plane: FakePlane, emitted: Emitted
) -> None:
    """With its reason, once, and again when it is back."""
    balancer.apply("firewall", provider())
    balancer.apply("office", consumer(port=8081))
    (endpoint,) = (each.endpoint_id for each in balancer.registry().endpoints.values())
    await_rounds(plane)
    plane.faults[endpoint, "clients"] = "there is no such namespace"
    until(lambda: emitted, "an event")
    await_rounds(plane)
    plane.faults.clear()
    until(lambda: len(emitted) > 1, "another event")
    assert emitted == [
        (
            "endpoint.detached",
            "network clients of endpoint office of office is not attached: there is no such namespace",
        ),
        ("endpoint.attached", "network clients of endpoint office of office is attached again"),
    ]


def test_the_exit_of_an_agent_is_followed_at_once(balancer: Balancer, plane: FakePlane, monitor: FakeMonitor) -> None:
    """Without waiting for the next round."""
    hour = timedelta(hours=1)
    supervisor = BalancerSupervisor(balancer, lambda *_: None, SystemClock(), hour, monitor=monitor)
    reading, writing = os.pipe()
    monitor.exited = (reading,)
    working = threading.Thread(target=supervisor.run_forever)
    working.start()
    try:
        until(lambda: supervisor.is_watching, "the first round")
        before = plane.calls["observe"]
        os.write(writing, b"x")
        until(lambda: plane.calls["observe"] > before, "another round")
    finally:
        supervisor.stop()
        monitor.exited = ()
        monitor.report("shop")
        working.join(DEADLINE)
        os.close(reading)
        os.close(writing)
    assert not working.is_alive()


def test_an_appliance_that_cannot_be_reached_is_reported(
    balancer: Balancer, plane: FakePlane, emitted: Emitted
) -> None:
    """With its reason, once, and again when its address can be used."""
    balancer.apply("firewall", provider())
    balancer.apply("office", consumer(port=8081))
    balancer.register("firewall", "firewalls", Target(id="fw-1", address="10.1.0.1", port=6081))
    plane.target_faults["fw-1"] = "this machine has no route to 10.1.0.1"
    until(lambda: emitted, "an event")
    await_rounds(plane)
    plane.target_faults.clear()
    until(lambda: len(emitted) > 1, "another event")
    fw = "fw-1 in firewalls of firewall"
    assert emitted == [
        ("appliance.unusable", f"{fw} gets no flows: this machine has no route to 10.1.0.1"),
        ("appliance.usable", f"{fw} is removed, or its address can be used again"),
    ]


def test_an_appliance_of_which_nothing_is_known_is_not_reported(balancer: Balancer, plane: FakePlane) -> None:
    """While the plane is started again, nobody knows whether its address can be used."""
    emitted: Emitted = []
    balancer.apply("firewall", provider())
    balancer.apply("office", consumer(port=8081))
    balancer.register("firewall", "firewalls", Target(id="fw-1", address="10.1.0.1", port=6081))
    plane.target_faults["fw-1"] = "this machine has no route to 10.1.0.1"
    reports = EndpointReports(balancer, lambda kind, text: emitted.append((kind, text)))
    for do in (balancer.reconcile, plane.forget, balancer.reconcile):
        do()
        reports.report_appliances()
    assert [kind for kind, _ in emitted] == ["appliance.unusable"]


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


@pytest.mark.usefixtures("changed")
def test_targets_that_are_all_admitted_are_not_observed(
    balancer: Balancer, plane: FakePlane, monitor: FakeMonitor
) -> None:
    """The plane is only pinged, until a target waits for its first check."""
    settle(balancer, plane, monitor)
    before, asked = plane.calls["observe"], monitor.asked
    until(lambda: monitor.asked > asked + 10, "further pings")
    assert plane.calls["observe"] == before
    plane.answer_checks("b", PASSED)
    balancer.register("shop", "web", Target(id="b", address="10.0.0.2", port=80))
    plane.run_checks()
    until(lambda: len(balancer.target_health("shop", "web")) == 2, "both targets")
    until(lambda: states(balancer) == {TargetState.HEALTHY}, "both are healthy")


def test_a_report_of_the_plane_is_passed_on(
    balancer: Balancer, plane: FakePlane, monitor: FakeMonitor, changed: list[str | None]
) -> None:
    """With the owner of the target, and at once."""
    settle(balancer, plane, monitor)
    changed.clear()
    monitor.report("shop")
    until(lambda: changed == ["shop"], "the report")


def test_a_registry_that_another_process_changed(
    balancer: Balancer, plane: FakePlane, monitor: FakeMonitor, changed: list[str | None]
) -> None:
    """Its owner is reported, and no other one."""
    settle(balancer, plane, monitor)
    other = DECLARED.model_copy(update={"load_balancers": {}})
    balancer.apply("blog", other)
    until(lambda: "blog" in changed, "the owner of the new group")
    changed.clear()
    balancer.deregister("shop", "web", "a")
    until(lambda: "shop" in changed, "the owner of the target")
    assert set(changed) == {"shop"}


def test_a_plane_that_does_not_respond_is_observed(
    balancer: Balancer, plane: FakePlane, monitor: FakeMonitor, changed: list[str | None]
) -> None:
    """A failed ping leads to a reconciliation, which restarts a plane that has died. Any target may have changed."""
    settle(balancer, plane, monitor)
    changed.clear()
    plane.forget()
    monitor.responds = False
    until(lambda: plane.observe().running, "the plane runs")
    until(lambda: None in changed, "a report for all")


def test_without_reports_everything_is_reconciled(
    balancer: Balancer, plane: FakePlane, monitor: FakeMonitor, changed: list[str | None]
) -> None:
    """While the monitor cannot receive, the plane is observed in each round."""
    settle(balancer, plane, monitor)
    monitor.receives = False
    before = plane.calls["observe"]
    until(lambda: plane.calls["observe"] > before + 5, "observations")


def test_an_exit_before_the_process_can_be_watched_is_not_waited_for(
    balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake's process does not exist, as one that has just exited. The next round follows at once, but only once."""
    supervisor = BalancerSupervisor(balancer, lambda *_: None, SystemClock(), timedelta(hours=1))
    rounds: list[None] = []
    monkeypatch.setattr(balancer, "reconcile", lambda: rounds.append(None))
    working = threading.Thread(target=supervisor.run_forever, daemon=True)
    working.start()
    until(lambda: rounds, "another round")
    supervisor.stop()
    assert len(rounds) == 1
