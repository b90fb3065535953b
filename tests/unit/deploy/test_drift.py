"""The replacement of a replica that stays unhealthy, while no deployment runs."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.api import StageContext
from pipeline.balancer.model import TargetState
from stages.deploy import drift
from stages.deploy.decision import ContainerState, Observation, Replica
from stages.deploy.drift import ServiceDrift
from tests.unit.deploy.deployments import Service, deploy

_TIMEOUT = timedelta(seconds=30)


def _unhealthy(seconds: float) -> Replica:
    waited = timedelta(seconds=seconds)
    return Replica("web", "t", ContainerState.RUNNING, TargetState.UNHEALTHY, not_healthy_for=waited)


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
    )

    def roll_out(*_: object, unhealthy_timeout: timedelta, **__: Any) -> None:
        found.append(unhealthy_timeout)

    rollout = SimpleNamespace(replica_set=lambda _: replicas, roll_out=roll_out, secrets=service.secrets)
    monkeypatch.setattr(drift, "ServiceRollout", lambda *_: rollout)
    monkeypatch.setattr(drift, "local_engine", lambda _: service.engine)
    registry = SimpleNamespace(declares=lambda *_: True)
    monkeypatch.setattr(drift, "open_balancer", lambda _: SimpleNamespace(registry=lambda: registry))
    return found


def test_the_first_replacement_waits_as_configured(patience: list[timedelta], context: StageContext) -> None:
    """The wait is deploy.unhealthy_timeout for the first replacement, and doubles with each further one."""
    found = ServiceDrift(context)
    for _ in range(3):
        assert any("has been unhealthy for more than" in text for text in found.findings())
        found.repair(threading.Event())
    assert patience == [_TIMEOUT, 2 * _TIMEOUT, 4 * _TIMEOUT]


@pytest.mark.usefixtures("patience")
def test_only_healthy_replicas_are_stable(context: StageContext, seen: list[Replica]) -> None:
    """Anything else changes with time alone, so it is checked again without an event."""
    found = ServiceDrift(context)
    assert not found.is_stable()
    for state in TargetState:
        seen[:] = [replace(seen[0], target=state)]
        found.findings()
        assert found.is_stable() is (state is TargetState.HEALTHY)
    seen[:] = [replace(seen[0], target=TargetState.HEALTHY, container=ContainerState.EXITED)]
    found.findings()
    assert not found.is_stable()
