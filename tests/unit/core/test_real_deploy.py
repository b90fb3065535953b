"""The Deploy stage that is shipped, on a runtime and a data plane in memory: repairs, deployments and deaths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.store.records import RunState
from tests.unit.core.machine import Machine
from tests.unit.core.world import NAME, World


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with Machine(world, monkeypatch) as machine:
        yield machine


def test_a_repair_gives_way_to_a_deployment(world: World, machine: Machine) -> None:
    """A replica that is removed by hand comes back, unless a deployment replaces its release first."""
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    machine.assert_serving(1)
    lost = machine.runtime.list(NAME)[0].name
    machine.runtime.remove(lost)
    world.until(lambda: "reconcile.repaired" in [event.kind for event in daemon.heard], "a repair")
    machine.assert_serving(1)
    hang = machine.runtime.faults.hang("start")
    machine.runtime.remove(machine.runtime.list(NAME)[0].name)
    world.until(lambda: hang.waiting, "a repair")
    daemon.commit("b")
    world.until(lambda: len(world.store.runs.stages(NAME, 2)) == 3, "the run is in Deploy")
    assert world.store.deployments.open(NAME) is None
    hang.release()
    world.until_state(2, RunState.SUCCEEDED)
    assert "reconcile.preempted" in [event.kind for event in daemon.heard]
    machine.assert_serving(2)
    world.assert_consistent()


def test_a_deployment_whose_process_dies_is_recovered(world: World, machine: Machine) -> None:
    """The next process puts the last good release back, and executes the run again."""
    daemon = world.serve()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    hang = machine.runtime.faults.hang("start", late=True)
    daemon.commit("b")
    world.until(lambda: hang.waiting, "the deployment starts a replica")
    assert world.store.deployments.open(NAME) is not None
    daemon.kill()
    hang.release()
    successor = world.serve()
    assert "recovered: release 1 is active" in [event.message for event in successor.heard]
    world.until_state(2, RunState.SUCCEEDED)
    machine.assert_serving(world.run(2).release or 0)
    assert world.run(2).attempts == 2
    world.assert_consistent()


def test_a_rollback_keeps_the_number_of_replicas(world: World, machine: Machine) -> None:
    """The daemon then keeps that number, not that of the first release or of the file."""
    world.runner().run("a")
    machine.scale(4)
    world.runner().run("b")
    machine.assert_serving(2, replicas=4)
    first = world.store.releases.get(NAME, 1)
    assert first is not None
    world.engine.images.add(first.image_id)
    machine.scale(3)
    world.runner().rollback()
    machine.assert_serving(1, replicas=4)
    daemon = world.serve()
    machine.runtime.remove(machine.runtime.list(NAME)[0].name)
    world.until(lambda: "reconcile.repaired" in [event.kind for event in daemon.heard], "a repair")
    machine.assert_serving(1, replicas=4)
    assert "1 of 4 containers are missing" in [event.message for event in daemon.heard]


def test_the_limits_of_a_first_deployment(world: World, machine: Machine) -> None:
    """Before it, no target is healthy, so the plan and the announcement promise to keep none."""

    def limits() -> str:
        return next(line for line in world.runner().plan("a")["deploy"] if line.startswith("healthy targets"))

    assert limits() == "healthy targets: none before the rollout; containers: at most 2"
    world.runner().run("a")
    machine.assert_serving(1)
    world.file.write_text(world.file.read_text().replace("target_group: web", "environment: {A: b}, target_group: web"))
    assert limits() == "healthy targets: the rollout keeps at least 2; containers: at most 3"
    world.runner().run("b")
    announced = [event.message for event in world.store.events.latest(NAME) if event.kind == "deployment.started"]
    assert sorted(announced) == [
        "from release 1 to release 2: 2 wanted, never lowered below 2 healthy, at most 3 running",
        "to release 1: 2 wanted, at most 3 running",
    ]


def test_a_plan_shows_what_comes_before_the_rollout(world: World, machine: Machine) -> None:
    """The approval, a disabled transition and the release command, each only where it applies."""
    plain = world.runner().plan("a")
    assert plain["build"] == []
    assert plain["deploy"][0] == "start the balancer"
    before = "approval: {timeout: 1h}, release_command: {command: [./migrate, --all]}, "
    before += "hooks: {BeforeInstall: [{command: [check]}], AfterAllowTraffic: [{pause: true}]}, "
    world.file.write_text(world.file.read_text().replace("target_group: web", f"{before}target_group: web"))
    world.store.transitions.disable(NAME, "build", "audit")
    planned = world.runner().plan("a")
    assert planned["build"] == ["wait until `pipeline transition enable build`: the transition is disabled: audit"]
    assert planned["deploy"] == [
        "wait up to 1h for `pipeline approve RUN`",
        "run the release command in the new image: ./migrate --all",
        plain["deploy"][0],
        "BeforeInstall: run check",
        *plain["deploy"][1:-1],
        "AfterAllowTraffic: wait up to 1d for `pipeline promote`, then roll back",
        plain["deploy"][-1],
    ]
