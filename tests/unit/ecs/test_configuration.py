"""A service's pipeline: names, limits and the container, computed from the records."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.balancer.model import Name, SharedGroup
from pipeline.base.errors import ConfigError
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.config.service import Rolling, ServiceHealthCheck
from pipeline.ecs.configuration import rolling, service_configuration
from pipeline.ecs.records import Group, Service, TaskDefinition, Wanted
from pipeline.ecs.task_secrets import TaskSecrets
from pipeline.parameter_store.parameter import StoredParameter, Version
from pipeline.parameter_store.store import ParameterStore

GROUP = Group("0123456789abcdef", "shop", "web", 8080, {"protocol": "HTTP", "target_type": "ip"})
TASK = TaskDefinition("shop", "eu-west-1", "web", 1, "t", datetime(2026, 1, 1, tzinfo=UTC), "app", "shop:1", (8080,))
SERVICE = Service("shop", "eu-west-1", "default", "web", "s", GROUP, Wanted(TASK.arn, 2))


@given(st.integers(1, 500), st.integers(0, 100), st.integers(100, 300))
def test_the_limits_of_ecs_are_never_exceeded(count: int, minimum: int, maximum: int) -> None:
    """Healthy tasks stay at or above the minimum, rounded up, and tasks at or below the maximum, rounded down."""
    wanted = Wanted(TASK.arn, count, minimum, maximum)
    try:
        found = rolling(wanted)
    except ConfigError:
        assert count * (maximum - 100) < 100
        assert count * (100 - minimum) < 100
        return
    surge, unavailable = Rolling.model_validate(found).limits(count)
    assert (count - unavailable) * 100 >= count * minimum
    assert (count + surge) * 100 <= count * maximum
    assert surge or unavailable


@given(st.integers(0, 500), st.integers(1, 500))
def test_scaling_alone_makes_no_release(few: int, many: int) -> None:
    """With the default limits, the configuration differs in the number of replicas only."""
    found = [
        service_configuration(Path("ecs.json"), replace(SERVICE, wanted=Wanted(TASK.arn, count)), TASK)
        for count in (few, many)
    ]
    specs = [ReleaseSpec.of(each, image_id="i", image_tag="t", sha="s", subject="") for each in found]
    assert specs[0] == specs[1]
    assert [each.pipeline.deploy.all_replicas() for each in found] == [{"web": few}, {"web": many}]


@pytest.mark.parametrize(("threshold", "limit"), [(None, None), ("50%", 3), ("80%", 4), (7, 7)])
def test_the_circuit_breaker_of_a_service_is_that_of_its_pipeline(
    threshold: int | str | None, limit: int | None
) -> None:
    """Without one, the first task that fails ends the deployment."""
    wanted = Wanted(TASK.arn, 5, circuit_breaker=threshold)
    found = service_configuration(
        Path("ecs.json"), replace(SERVICE, wanted=wanted), TASK
    ).pipeline.deploy.circuit_breaker
    assert (found.limit(5) if found else None) == limit


@given(st.text(min_size=1, max_size=255), st.text(min_size=1))
def test_a_name_of_a_pipeline_is_valid_and_its_own(name: str, cluster: str) -> None:
    """Whatever a service is called, its pipeline has a valid name, and another cluster gives another one."""
    pipelines = {replace(SERVICE, name=name, cluster=each).pipeline for each in (cluster, f"{cluster}x")}
    assert len(pipelines) == 2
    for pipeline in pipelines:
        TypeAdapter(Name).validate_python(pipeline)


def test_values_that_look_like_references_stay_what_they_are() -> None:
    """A secret of the machine cannot be read by a template."""
    task = replace(TASK, settings={"environment": {"A": "${secret:TOKEN}", "B": "${env:HOME}"}})
    configuration = service_configuration(Path("ecs.json"), SERVICE, task)
    assert configuration.secrets.resolve_all(configuration.pipeline.deploy.environment) == {
        "A": "${secret:TOKEN}",
        "B": "${env:HOME}",
    }


def test_a_release_of_a_service_is_read_as_it_was_stored() -> None:
    """The group's owner is part of it."""
    configuration = service_configuration(Path("ecs.json"), SERVICE, TASK)
    spec = ReleaseSpec.of(configuration, image_id="i", image_tag="t", sha="s", subject="")
    found = ReleaseSpec.parse(spec.model_dump_json())
    assert found == spec
    assert isinstance(found.balancer, SharedGroup)
    assert found.balancer.group_owner == "shop"
    assert found.balancer.target_groups[found.settings.target_group or ""].port == 8080


def test_what_no_pipeline_can_do_says_where() -> None:
    """The message names the service and the key."""
    with pytest.raises(ConfigError, match=r"web: deploy\.replicas"):
        service_configuration(Path("ecs.json"), replace(SERVICE, wanted=Wanted(TASK.arn, 501)), TASK)


CHECK = {"command": ["true"], "interval": "5s", "timeout": "5s", "unhealthy_threshold": 2}


def test_the_check_of_a_container_counts_behind_no_load_balancer() -> None:
    """Behind one, the target group's check counts. The start period is added to the time to become healthy."""
    task = replace(TASK, settings={"health_check": CHECK}, start_period=20)
    behind = service_configuration(Path("ecs.json"), SERVICE, task).pipeline.deploy
    assert (behind.target_group, behind.health_check) == ("web", ServiceHealthCheck())
    assert behind.deploy_timeout.total_seconds() == 80
    alone = service_configuration(Path("ecs.json"), replace(SERVICE, group=None), task)
    spec = ReleaseSpec.of(alone, image_id="i", image_tag="t", sha="s", subject="").service("web")
    assert spec.group is None
    assert spec.settings.health_check.command == ("true",)
    assert spec.settings.health_check.unhealthy_threshold == 2


def test_a_service_without_a_check_keeps_its_containers() -> None:
    """Its template is that of earlier releases."""
    found = service_configuration(Path("ecs.json"), replace(SERVICE, group=None), TASK)
    spec = ReleaseSpec.of(found, image_id="i", image_tag="t", sha="s", subject="").service("web")
    assert (spec.settings.target_group, spec.template(Secrets())) == ("none", "c2ab4bcc3177")


def test_secrets_are_read_when_they_are_needed(tmp_path: Path) -> None:
    """The release has their names, and a changed value replaces the tasks. A missing one has ECS's error."""
    store = ParameterStore(tmp_path)
    put(store, "/shop/password", "one")
    put(store, "token", "two")
    task = replace(
        TASK,
        settings={"environment": {"A": "${secret:/shop/password}"}},
        secrets={
            "PASSWORD": "/shop/password",
            "BY_ARN": "arn:aws:ssm:eu-west-1:000000000000:parameter/shop/password",
            "TOKEN": "arn:aws:ssm:eu-west-1:000000000000:parameter/token",
        },
    )
    found = service_configuration(Path("ecs.json"), SERVICE, task, TaskSecrets(store, "shop"))
    environment = found.pipeline.deploy.environment
    assert found.secrets.resolve_all(environment) == {
        "A": "${secret:/shop/password}",
        "PASSWORD": "one",
        "BY_ARN": "one",
        "TOKEN": "two",
    }
    assert {"one", "two"} <= set(found.secrets.values())
    spec = ReleaseSpec.of(found, image_id="i", image_tag="t", sha="s", subject="")
    assert "two" not in spec.model_dump_json()
    before = spec.service("web").template(found.secrets)
    put(store, "token", "three")
    later = service_configuration(Path("ecs.json"), SERVICE, task, TaskSecrets(store, "shop"))
    assert spec.service("web").template(later.secrets) != before


@pytest.mark.parametrize("owner", ["shop", "other"])
def test_a_parameter_that_does_not_exist(tmp_path: Path, owner: str) -> None:
    """A parameter of another owner does not exist either."""
    store = ParameterStore(tmp_path)
    put(store, "token", "two")
    task = replace(TASK, secrets={"TOKEN": "token" if owner == "other" else "/token"})
    found = service_configuration(Path("ecs.json"), SERVICE, task, TaskSecrets(store, owner))
    with pytest.raises(ConfigError, match=r"^ResourceInitializationError: .* invalid ssm parameters: /?token$"):
        found.secrets.resolve_all(found.pipeline.deploy.environment)


def put(store: ParameterStore, name: str, value: str) -> None:
    """Keep a parameter of the owner `shop`."""
    version = Version(1, "SecureString", value, datetime(2026, 1, 1, tzinfo=UTC))
    store.change("shop", name, lambda _: StoredParameter("shop", "eu-west-1", name, "api", (version,)))
