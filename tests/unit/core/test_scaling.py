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
