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
from pipeline.config.service import Rolling
from pipeline.ecs.configuration import rolling, service_configuration
from pipeline.ecs.records import Group, Service, TaskDefinition, Wanted

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
    assert [each.pipeline.deploy.replicas for each in found] == [few, many]


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
