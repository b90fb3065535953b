"""The number of replicas of a service with auto scaling: deployments, rollbacks, and users."""

from __future__ import annotations

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, RolledBack, StageFailed
from pipeline.events import Event
from stages.deploy.stage import DockerDeploy
from tests.unit.deploy.deployments import Service, deploy, with_replicas

SCALING = "scaling: {min: 2, max: 9, target: {requests_per_target: 100}}"


def scaled(context: StageContext, replicas: int = 3, scaling: str = SCALING) -> StageContext:
    """Return the context with a pipeline.yaml whose service is scaled."""
    return with_replicas(context, replicas, f"{scaling},")


def decide(context: StageContext, count: int) -> None:
    """Let the controller want another number."""
    (target,) = context.store.scaling.targets("shop")
    before = context.store.services.wanted("shop", "web")
    assert before is not None
    assert context.store.scaling.set_count(target, before, count, "{}", "")


def test_replicas_is_the_number_of_the_first_deployment(context: StageContext, service: Service) -> None:
    """Later deployments, restarts and rollbacks take the number that the controller has chosen."""
    context = scaled(context)
    deploy(context, "a")
    assert service.counts[-1] == 3
    decide(context, 7)
    assert DockerDeploy().is_current(context)
    deploy(context, "b")
    assert service.counts[-1] == 7
    service.engine.images.add("sha256:a")
    DockerDeploy().restart(context, "web")
    assert service.counts[-1] == 7
    decide(context, 6)
    DockerDeploy().rollback(context, next(each for each in context.store.releases.all("shop") if each.number == 1))
    assert service.counts[-1] == 6
    assert list(context.store.scaling.policies("shop")) == ["web"]


def test_the_number_is_forgotten_after_down(context: StageContext, service: Service) -> None:
    """The next deployment has that of the file."""
    context = scaled(context, 2)
    deploy(context, "a")
    decide(context, 8)
    DockerDeploy().down(context)
    deploy(context, "b")
    assert service.counts[-1] == 2


def test_a_service_that_is_scaled_from_now_on_keeps_its_number(context: StageContext, service: Service) -> None:
    """Within the bounds. It has that of the file again when scaling is taken out."""
    deploy(with_replicas(context, 5), "a")
    deploy(scaled(context), "b")
    assert service.counts[-1] == 5
    decide(context, 9)
    deploy(scaled(context, scaling=SCALING.replace("max: 9", "max: 4")), "c")
    assert service.counts[-1] == 4
    deploy(with_replicas(context, 3), "d")
    assert service.counts[-1] == 3
    assert context.store.scaling.policies("shop") == {}


def test_another_policy_is_deployed(context: StageContext, service: Service) -> None:
    """Without a new release, so no container is replaced."""
    first = deploy(scaled(context), "a")
    changed = scaled(context, scaling=SCALING.replace("100", "200"))
    assert not DockerDeploy().is_current(changed)
    assert deploy(changed, "a").number == first.number
    assert "200.0" in context.store.scaling.policies("shop")["web"]
    assert DockerDeploy().is_current(changed)


def test_a_number_by_hand_is_kept_until_the_next_decision(context: StageContext, service: Service) -> None:
    """Which is said. It is refused outside of the bounds in force."""
    events: list[Event] = []
    context.events.subscribe(events.append)
    context = scaled(context)
    deploy(context, "a")
    DockerDeploy().scale(context, "web", 5)
    assert service.counts[-1] == 5
    said = [event.message for event in events if event.kind == "scaling.set"]
    assert said == ["web: set to 5 replicas by hand, until scaling decides otherwise"]
    decide(context, 6)
    deploy(context, "b")
    assert service.counts[-1] == 6
    context.store.scaling.suspend("shop", "web")
    DockerDeploy().scale(context, "web", 4)
    (_, said_later) = [event.message for event in events if event.kind == "scaling.set"]
    assert said_later == "web: set to 4 replicas by hand, until `pipeline scaling resume web`"
    for count in (1, 10):
        with pytest.raises(ConfigError) as caught:
            DockerDeploy().scale(context, "web", count)
        assert caught.value.message == (
            f"web must have from 2 to 9 replicas, the bounds of its scaling now, got {count}"
        )
    assert service.counts[-1] == 4


ZERO = "scaling: {min: 0, max: 9, target: {requests_per_target: 100}}"


def test_a_service_at_zero_is_deployed_with_one_replica(context: StageContext, service: Service) -> None:
    """Which shows that the release works. A restart and a failed deployment leave it at zero."""
    context = scaled(context, 1, ZERO)
    deploy(context, "a")
    decide(context, 0)
    assert DockerDeploy().is_current(context)
    deploy(context, "b")
    assert service.counts[-1] == 1
    assert context.store.services.wanted("shop", "web") == 1
    decide(context, 0)
    DockerDeploy().restart(context, "web")
    assert service.counts[-1] == 0
    service.errors["to 3"] = StageFailed("it does not become healthy")
    with pytest.raises(RolledBack):
        deploy(context, "c")
    assert service.counts[-2:] == [1, 0]
    assert context.store.services.wanted("shop", "web") == 0


def test_a_rollback_of_a_service_at_zero_tests_the_release(context: StageContext, service: Service) -> None:
    """With one replica, also if the earlier release could not be scaled to zero."""
    deploy(with_replicas(context, 1), "a")
    deploy(scaled(context, 1, ZERO), "b")
    decide(context, 0)
    service.engine.images.add("sha256:a")
    DockerDeploy().rollback(context, next(each for each in context.store.releases.all("shop") if each.number == 1))
    assert service.counts[-1] == 1
