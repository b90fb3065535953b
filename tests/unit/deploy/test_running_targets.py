"""Targets of a service without a target group."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.engine.container import ContainerHealth
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.running_targets import RunningTargets


class Containers:
    """The containers of the service `worker`, and its targets."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.found: list[SimpleNamespace] = []
        runtime = cast("Any", SimpleNamespace(list=lambda _: self.found))
        self.targets = RunningTargets(runtime, "shop", "worker", timedelta(seconds=5), now=self.clock.now)

    def run(self, name: str, running_for: int | None = 1, **more: object) -> SimpleNamespace:
        """Add a container."""
        settings = {"service": "worker", "running": True, "address": "", "port": 0, "template": "t", **more}
        settings.setdefault("health", None)
        made = SimpleNamespace(name=name, running_for=running_for, started=self.clock.now(), **settings)
        self.found.append(made)
        return made

    def health(self) -> dict[str, TargetHealth]:
        """Return the health of each target."""
        return {found.target.id: found for found in self.targets.reconciled_health("", "")}


@pytest.fixture
def containers() -> Containers:
    """A service that starts with no containers."""
    return Containers()


def test_without_a_probe_a_container_that_keeps_running_is_healthy(containers: Containers) -> None:
    """A young one is initial. One that exited and one of another service are no targets."""
    containers.run("young")
    containers.run("settled", 5)
    containers.run("old", None)
    containers.run("gone", 9, running=False)
    containers.run("other", 9, service="web")
    found = containers.health()
    assert {name: health.state for name, health in found.items()} == {
        "young": TargetState.INITIAL,
        "settled": TargetState.HEALTHY,
        "old": TargetState.HEALTHY,
    }
    assert found["young"].description == "it has run for less than 5s"


def test_with_a_probe_its_result_counts(containers: Containers) -> None:
    """However long the container runs. It is unhealthy since it was seen so for the first time."""
    container = containers.run("worker", None, health=ContainerHealth.STARTING)
    assert containers.health()["worker"].state is TargetState.INITIAL
    container.health = ContainerHealth.HEALTHY
    assert containers.health()["worker"].state is TargetState.HEALTHY
    container.health = ContainerHealth.UNHEALTHY
    for seconds in (0, 20):
        found = containers.health()["worker"]
        assert (found.state, found.state_age) == (TargetState.UNHEALTHY, timedelta(seconds=seconds))
        containers.clock.advance(timedelta(seconds=20))
    container.health = ContainerHealth.HEALTHY
    containers.health()
    container.health = ContainerHealth.UNHEALTHY
    assert containers.health()["worker"].state_age == timedelta(0)


def test_a_container_that_leaves_drains_until_it_is_forgotten(containers: Containers) -> None:
    """Nothing is in flight. Registered again, it counts again."""
    containers.run("worker", 9)
    containers.targets.deregister("", "", "worker")
    containers.targets.abort_connections("", "", "worker")
    found = containers.health()["worker"]
    assert (found.state, found.in_flight) == (TargetState.DRAINING, 0)
    containers.targets.register("", "", found.target)
    assert containers.health()["worker"].state is TargetState.HEALTHY
    assert containers.targets.zones("", "") == ()
