"""Auto scaling with the Deploy stage that is shipped, on a runtime and a data plane in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.balancer.model import TargetState
from pipeline.daemon import supervisor
from pipeline.store.records import RunState
from tests.unit.core.machine import Machine
from tests.unit.core.world import NAME, World

GROUP = f"{NAME}.web"
POLICY = "scaling: {min: 2, max: 5, scale_in_cooldown: 0s, target: {connections: 1}}"


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine whose service is scaled by the requests in progress."""
    with Machine(world, monkeypatch) as machine:
        monkeypatch.setattr(supervisor, "open_balancer", lambda _: machine.balancer)
        text = world.file.read_text().replace("target_group: web, replicas: 2", f"target_group: web, {POLICY}")
        assert POLICY in text
        world.file.write_text(text)
        yield machine


def serving(machine: Machine) -> int:
    """Return the number of healthy targets if nothing is on its way, else 0."""
    states = [health.state for health in machine.balancer.target_health(NAME, "web")]
    is_settled = len(machine.runtime.list(NAME)) == len(states) and set(states) == {TargetState.HEALTHY}
    return len(states) if is_settled else 0


def test_replicas_follow_the_load(world: World, machine: Machine) -> None:
    """No run is queued for it, and no request is aborted."""
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    machine.assert_serving(1)
    sent = [machine.plane.send(GROUP) for _ in range(4)]
    world.until(lambda: serving(machine) == 4, "four replicas")
    for target in sent:
        machine.plane.finish(GROUP, target or "")
    world.until(lambda: serving(machine) == 2, "two replicas")
    kinds = [event.kind for event in daemon.heard]
    assert kinds.count("scaling.out") == kinds.count("scaling.in") == 1
    assert "target.requests_aborted" not in kinds
    assert [run.number for run in world.store.runs.latest(NAME)] == [1]
    world.assert_consistent()


def test_a_deployment_keeps_the_number(world: World, machine: Machine) -> None:
    """Also after a kill in the middle of the change."""
    world.file.write_text(world.file.read_text().replace("scale_in_cooldown: 0s", "scale_in: disabled"))
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    hang = machine.runtime.faults.hang("start", late=True)
    sent = [machine.plane.send(GROUP) for _ in range(4)]
    world.until(lambda: hang.waiting, "a replica starts")
    daemon.power.dead = True
    hang.release()
    daemon.bury()
    successor = world.serve()
    world.until(lambda: serving(machine) == 4, "four replicas")
    for target in sent:
        machine.plane.finish(GROUP, target or "")
    successor.commit("b")
    world.until_state(2, RunState.SUCCEEDED)
    world.until(lambda: {one.release for one in machine.runtime.list(NAME)} == {2}, "only the new release")
    assert world.store.services.wanted(NAME, "web") == 4
    world.assert_consistent()


def scale_to_zero(world: World) -> None:
    """Write a policy by which the service has no replica without requests."""
    zero = "scaling: {min: 0, max: 3, idle_time: 1s}"
    world.file.write_text(world.file.read_text().replace(POLICY, zero))


def test_an_idle_service_has_no_replica_until_its_first_request(world: World, machine: Machine) -> None:
    """Which is held until the replica is healthy. That is no drift. A killed daemon leaves it held for the next one."""
    scale_to_zero(world)
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    world.until(lambda: not machine.runtime.list(NAME), "no replica")
    assert machine.balancer.target_health(NAME, "web") == ()
    assert machine.plane.send(GROUP) is None
    world.until(lambda: serving(machine) == 1, "one replica")
    assert machine.plane.held(GROUP) == 0
    world.until(lambda: not machine.runtime.list(NAME), "no replica again")
    daemon.power.dead = True
    daemon.bury()
    assert machine.plane.send(GROUP) is None
    successor = world.serve()
    world.until(lambda: serving(machine) == 1, "one replica")
    assert machine.plane.held(GROUP) == 0
    heard = [*daemon.heard, *successor.heard]
    assert [event.fields["reason"] for event in heard if event.kind == "scaling.out"] == ["the first request"] * 2
    assert "target.requests_aborted" not in [event.kind for event in heard]
    world.assert_consistent()


def test_a_release_is_tested_at_zero(world: World, machine: Machine) -> None:
    """One replica of it becomes healthy, and may go again. The plan says so."""
    scale_to_zero(world)
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    world.until(lambda: not machine.runtime.list(NAME), "no replica")
    steps = world.runner().plan("b")["deploy"]
    assert "scaled to zero: requests wait until the first target is healthy; containers: at most 1" in steps
    daemon.commit("b")
    world.until_state(2, RunState.SUCCEEDED)
    started = [event for event in daemon.heard if event.kind == "deployment.started"]
    assert (
        started[-1].message == "from release 1 to release 2: 1 wanted, never lowered below 1 healthy, at most 2 running"
    )
    assert any(event.kind == "target.healthy" and ".r2." in event.message for event in daemon.heard)
    world.until(lambda: not machine.runtime.list(NAME), "no replica again")
    world.assert_consistent()
