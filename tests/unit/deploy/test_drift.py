"""What is found while no deployment runs: replicas that stay unhealthy, and those that exit."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.api import StageContext
from pipeline.balancer.model import TargetState
from pipeline.scaling.decision_record import DecisionRecord
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy import release_drift
from stages.deploy.decision import ContainerState, Observation, Replica
from stages.deploy.release_drift import ReleaseDrift
from tests.unit.deploy.deployments import Service, deploy

_TIMEOUT = timedelta(seconds=30)


def _unhealthy(seconds: float) -> Replica:
    waited = timedelta(seconds=seconds)
    return Replica("web", "t", ContainerState.RUNNING, TargetState.UNHEALTHY, not_healthy_for=waited, made_from="t")


class Hashed(SimpleNamespace):
    """A namespace that can be a key."""

    __hash__ = object.__hash__


@pytest.fixture
def seen() -> list[Replica]:
    """The replicas that are observed."""
    return [_unhealthy(3600)]


@pytest.fixture
def patience(
    monkeypatch: pytest.MonkeyPatch, context: StageContext, service: Service, seen: list[Replica]
) -> list[timedelta]:
    """The `unhealthy_timeout` of each repair of a service whose only replica is unhealthy for longer."""
    deploy(context, "a")
    found: list[timedelta] = []
    replicas = SimpleNamespace(
        observe=lambda **_: Observation(tuple(seen)),
        with_stale_address=list,
        running_for=lambda _: 100,
        ended=lambda _: None,
        release_of=lambda _: 1,
        replacement_reason=lambda _: None,
        exit_reason=lambda _: "its container exited with code 137",
    )

    def roll_out(*_: object, unhealthy_timeout: timedelta, **__: Any) -> None:
        found.append(unhealthy_timeout)

    one = Hashed(replica_set=lambda: replicas, roll_out=roll_out, left_groups=list)
    rollout = SimpleNamespace(
        service=lambda *_: one,
        alternate=lambda *_: None,
        others=lambda _: {},
        prepare=lambda _: None,
        complete=lambda _: None,
        cluster=service.cluster,
        hosts=service.hosts,
    )
    monkeypatch.setattr(release_drift, "ReleaseRollout", lambda *_: rollout)
    monkeypatch.setattr(release_drift, "local_engine", lambda _: service.engine)
    registry = SimpleNamespace(declares=lambda *_: True)
    monkeypatch.setattr(release_drift, "open_balancer", lambda _: SimpleNamespace(registry=lambda: registry))
    return found


def test_the_first_replacement_waits_as_configured(patience: list[timedelta], context: StageContext) -> None:
    """The wait is deploy.unhealthy_timeout for the first replacement, and doubles with each further one."""
    found = ReleaseDrift(context)
    for _ in range(3):
        assert any("has been unhealthy for more than" in text for text in found.findings())
        found.repair(threading.Event())
    assert patience == [_TIMEOUT, 2 * _TIMEOUT, 4 * _TIMEOUT]


@pytest.mark.usefixtures("patience")
def test_only_healthy_replicas_are_stable(context: StageContext, seen: list[Replica]) -> None:
    """Anything else changes with time alone, so it is checked again without an event."""
    found = ReleaseDrift(context)
    assert not found.is_stable()
    for state in TargetState:
        seen[:] = [replace(seen[0], target=state)]
        found.findings()
        assert found.is_stable() is (state is TargetState.HEALTHY)
    seen[:] = [replace(seen[0], target=TargetState.HEALTHY, container=ContainerState.EXITED)]
    found.findings()
    assert not found.is_stable()


def _exited(context: StageContext) -> list[str]:
    return [event.message for event in context.store.events.latest("shop") if event.kind == "target.exited"]


@pytest.mark.usefixtures("patience")
def test_an_exit_is_reported_at_once(context: StageContext, seen: list[Replica]) -> None:
    """But it is drift only a little later, because a user may be restarting the container."""
    clock = FakeClock()
    found = ReleaseDrift(replace(context, clock=clock))
    seen[:] = [Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")]
    assert found.findings() == []
    seen[:] = [replace(seen[0], container=ContainerState.EXITED)]
    assert found.findings() == []
    assert _exited(context) == ["web has ended: its container exited with code 137"]
    assert not found.is_stable()
    clock.advance(timedelta(seconds=0.75))
    assert found.findings() == ["1 of 1 containers are missing", "web is not a running replica of release 1"]
    assert len(_exited(context)) == 1


@pytest.mark.usefixtures("patience")
def test_a_container_that_a_user_restarts_is_no_drift(context: StageContext, seen: list[Replica]) -> None:
    """Each exit is reported, and none of them counts for the next one."""
    clock = FakeClock()
    found = ReleaseDrift(replace(context, clock=clock))
    running = Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")
    for _ in range(3):
        for replica in (running, replace(running, container=ContainerState.EXITED)):
            seen[:] = [replica]
            assert not any("not a running" in text for text in found.findings())
            clock.advance(timedelta(seconds=0.4))
    assert len(_exited(context)) == 3


@pytest.mark.usefixtures("patience")
def test_a_container_that_is_removed_is_drift_at_once(context: StageContext, seen: list[Replica]) -> None:
    """Nobody can restart it."""
    found = ReleaseDrift(context)
    seen[:] = [Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")]
    found.findings()
    seen[:] = [Replica("web", "", ContainerState.EXITED, TargetState.HEALTHY)]
    assert "web is not a running replica of release 1" in found.findings()


@pytest.mark.usefixtures("patience")
def test_an_exit_that_the_engine_reports_is_told_once(context: StageContext, seen: list[Replica]) -> None:
    """Its list shows the exit later, or never if it restarts the container. The next exit is told again."""
    clock = FakeClock()
    found = ReleaseDrift(replace(context, clock=clock))
    running = Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")
    exited = replace(running, container=ContainerState.EXITED)
    for count, looks in enumerate(([running, running, exited, exited, running], [running, running, running]), 1):
        seen[:] = [running]
        found.findings()
        found.exited("web", 137)
        for look in looks:
            seen[:] = [look]
            assert found.findings() == []
        assert _exited(context) == ["web exited with code 137"] * count
        clock.advance(timedelta(seconds=10))


@pytest.mark.usefixtures("patience")
def test_exits_of_unknown_containers_are_not_told(context: StageContext, seen: list[Replica]) -> None:
    """The stage may have removed them itself."""
    found = ReleaseDrift(context)
    seen[:] = [Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")]
    found.findings()
    found.exited("old", 143)
    assert _exited(context) == []


@pytest.mark.usefixtures("patience")
def test_another_wanted_number_is_no_fault(context: StageContext, seen: list[Replica]) -> None:
    """The line says that the service scales, from which number to which, and why. A lost container is still missing."""
    store, healthy = context.store, Replica("web", "t", ContainerState.RUNNING, TargetState.HEALTHY, made_from="t")
    row = store.deployments.begin("shop", 1, 1, 1)
    store.deployments.finish(row, DeploymentState.SUCCEEDED, wanted={"web": 2}, scaling={"web": "{}"})
    seen[:] = [healthy, replace(healthy, name="web-2")]
    found = ReleaseDrift(context)
    assert found.findings() == []
    (target,) = store.scaling.targets("shop")
    now = context.clock.now()
    record = DecisionRecord(at=now, count=4, reason="cpu: 90 of 60 %", min=1, max=9)
    assert store.scaling.set_count(target, 2, 4, "{}", record.model_dump_json())
    assert found.findings() == ["scaling from 2 to 4 containers: cpu: 90 of 60 %"]
    seen.append(replace(healthy, name="web-3"))
    assert found.findings() == ["scaling from 2 to 4 containers: cpu: 90 of 60 %"]
    del seen[1:]
    assert found.findings() == ["3 of 4 containers are missing"]
    seen[:] = [replace(healthy, name=f"web-{number}") for number in range(4)]
    assert found.findings() == []
    assert store.scaling.set_count(store.scaling.targets("shop")[0], 4, 3, "{}", "")
    assert found.findings() == ["scaling from 4 to 3 containers"]
