"""Contract of `ResourceProvider`, kept by the provider of every resource type.

To add a type, add a `ProviderUnderTest` to `PROVIDERS`. AWS's types are in `aws_providers.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pipeline.base.clock import SYSTEM
from pipeline.ecs.ecs import Ecs
from pipeline.stacks.provider import Pending, ResourceProvider, StackContext, State
from pipeline.stacks.providers import nested_stack, wait_condition_handle
from pipeline.stacks.providers.ecs_cluster import EcsCluster
from pipeline.stacks.providers.ecs_service import EcsService
from pipeline.stacks.providers.ecs_task_definition import EcsTaskDefinition
from pipeline.stacks.providers.pipeline import Pipeline
from pipeline.stacks.providers.scaling import ScalableTarget, ScalingPolicy
from pipeline.stacks.resource_types import IgnoredType
from tests.contract.aws_providers import AWS_PROVIDERS, prepared
from tests.support.ecs_home import CONTAINER, PIPELINE, SERVICE_TARGET, EcsHome
from tests.support.stack_home import StackHome
from tests.support.stack_world import World

CONTEXT = StackContext(
    "arn:aws:cloudformation:eu-west-1:000000000000:stack/lab/5f3c", "lab", "shop", "eu-west-1", "000000000000"
)
INNER = f"""
Parameters: {{Size: {{Type: String}}}}
Resources: {{Handle: {{Type: {wait_condition_handle.TYPE}}}}}
Outputs: {{Size: {{Value: !Ref Size}}}}
"""
TOKEN, OTHER_TOKEN = "lab-Thing-AAAAAAAAAAAA", "lab-Thing-BBBBBBBBBBBB"


@dataclass(frozen=True)
class ProviderUnderTest:
    """A provider with properties that it accepts, and others to which they can be updated.

    `forgets`: what it makes is no state at all, so it always seems to exist. `other` are the properties of a second
    resource, where two cannot have the same.
    """

    make: Callable[[ExitStack], ResourceProvider[Any]]
    properties: dict[str, Any]
    changed: dict[str, Any]
    forgets: bool = False
    other: dict[str, Any] | None = None

    @property
    def properties_of_another(self) -> dict[str, Any]:
        """The properties of a second resource, where two cannot have the same."""
        return self.properties if self.other is None else self.other


def _slow_world(_: ExitStack) -> ResourceProvider[Any]:
    world = World()
    world.polls = 2
    return world.provider(CONTEXT)


def _nested_stack(stack: ExitStack) -> ResourceProvider[Any]:
    folder = Path(stack.enter_context(TemporaryDirectory()))
    (folder / "inner.yaml").write_text(INNER)
    home = StackHome(folder)
    stack.callback(home.stacks.close)
    parent = home.create("lab", f"Resources: {{Handle: {{Type: {wait_condition_handle.TYPE}}}}}")
    context = StackContext(parent.id, parent.name, parent.owner, parent.region, "000000000000", folder=str(folder))
    return nested_stack.NestedStack(home.stacks, context)


def _of_ecs(
    provider: Callable[[Ecs, StackContext], ResourceProvider[Any]],
) -> Callable[[ExitStack], ResourceProvider[Any]]:
    def make(stack: ExitStack) -> ResourceProvider[Any]:
        home = EcsHome(CONTEXT)
        stack.callback(home.close)
        return provider(home.ecs, CONTEXT)

    return make


_TARGET = {"ScalableDimension": "ecs:service:DesiredCount", "ServiceNamespace": "ecs", "MinCapacity": 1}
_SERVICE = {"TaskDefinition": "web", "LoadBalancers": [SERVICE_TARGET]}
_POLICY = {"PolicyName": "busy", "PolicyType": "TargetTrackingScaling", "ScalingTargetId": "a|b|ecs"}

PROVIDERS = {
    "fake": ProviderUnderTest(lambda _: World().provider(CONTEXT), {"Size": 1}, {"Size": 2}),
    "slow fake": ProviderUnderTest(_slow_world, {"Size": 1}, {"Size": 2}),
    "ignored": ProviderUnderTest(lambda _: IgnoredType("AWS::S3::Bucket"), {"A": 1}, {"A": 2}, forgets=True),
    "wait condition handle": ProviderUnderTest(
        lambda _: wait_condition_handle.WaitConditionHandle(CONTEXT), {}, {}, forgets=True
    ),
    "nested stack": ProviderUnderTest(
        _nested_stack,
        {"TemplateURL": "inner.yaml", "Parameters": {"Size": "1"}},
        {"TemplateURL": "inner.yaml", "Parameters": {"Size": "2"}},
    ),
    "cluster": ProviderUnderTest(
        _of_ecs(EcsCluster), {}, {"ClusterSettings": [{"Name": "containerInsights", "Value": "enabled"}]}
    ),
    "task definition": ProviderUnderTest(
        _of_ecs(EcsTaskDefinition),
        {"ContainerDefinitions": [CONTAINER]},
        {"ContainerDefinitions": [CONTAINER], "Tags": [{"Key": "team", "Value": "shop"}]},
    ),
    "service": ProviderUnderTest(_of_ecs(EcsService), _SERVICE, {**_SERVICE, "DesiredCount": 3}),
    "pipeline": ProviderUnderTest(
        _of_ecs(Pipeline), PIPELINE, {**PIPELINE, "deploy": {"target_group": "web", "replicas": "3"}}
    ),
    "scalable target": ProviderUnderTest(
        _of_ecs(ScalableTarget),
        {**_TARGET, "ResourceId": "service/a/b", "MaxCapacity": 3},
        {**_TARGET, "ResourceId": "service/a/b", "MaxCapacity": 4},
        other={**_TARGET, "ResourceId": "service/a/c", "MaxCapacity": 3},
    ),
    "scaling policy": ProviderUnderTest(
        _of_ecs(ScalingPolicy), _POLICY, {**_POLICY, "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 50}}
    ),
}


@pytest.fixture(params=[*PROVIDERS, *AWS_PROVIDERS])
def tested(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderUnderTest:
    """A provider under test."""
    if request.param in PROVIDERS:
        return PROVIDERS[request.param]
    provider, properties, changed, other = prepared(request.param, tmp_path)
    return ProviderUnderTest(lambda _: provider, properties, changed, other=other)


@pytest.fixture
def provider(tested: ProviderUnderTest) -> Iterator[ResourceProvider[Any]]:
    """The provider itself."""
    with ExitStack() as stack:
        yield tested.make(stack)


def complete(call: Callable[[], State | Pending | None]) -> State | None:
    """Repeat a call while it is pending."""
    for _ in range(1000):
        result = call()
        if not isinstance(result, Pending):
            return result
        assert timedelta(0) < result.interval <= result.timeout
        SYSTEM.wait(threading.Event(), min(result.interval, timedelta(milliseconds=10)))
    raise AssertionError("the call stays pending")


def created(provider: ResourceProvider[Any], properties: dict[str, Any], token: str = TOKEN) -> State:
    """Create a resource."""
    state = complete(lambda: provider.create(token, provider.properties.model_validate(properties)))
    assert state is not None
    return state


def test_a_created_resource_can_be_found_and_read(tested: ProviderUnderTest, provider: ResourceProvider[Any]) -> None:
    """It has an id and the attributes that create has returned."""
    state = created(provider, tested.properties)
    assert state.physical_id
    assert provider.find(TOKEN) == state.physical_id
    found = provider.read(state.physical_id)
    assert found is not None
    assert (found.physical_id, found.attributes) == (state.physical_id, state.attributes)


def test_create_with_a_used_token_makes_nothing(tested: ProviderUnderTest, provider: ResourceProvider[Any]) -> None:
    """It returns the same resource. Another token makes another one."""
    first = created(provider, tested.properties)
    assert created(provider, tested.properties).physical_id == first.physical_id
    assert created(provider, tested.properties_of_another, OTHER_TOKEN).physical_id != first.physical_id


def test_a_repeated_update_changes_nothing_more(tested: ProviderUnderTest, provider: ResourceProvider[Any]) -> None:
    """An update keeps the id. It can be repeated, and undone."""
    physical_id = created(provider, tested.properties).physical_id
    before, after = (provider.properties.model_validate(p) for p in (tested.properties, tested.changed))
    for _ in range(2):
        state = complete(lambda: provider.update(physical_id, before, after))
        assert state is not None
        assert state.physical_id == physical_id
    changed = provider.read(physical_id)
    complete(lambda: provider.update(physical_id, after, before))
    restored = provider.read(physical_id)
    assert changed is not None
    assert restored is not None
    if restored.properties is not None and not tested.forgets:
        assert restored.properties.items() >= tested.properties.items()


def test_a_deleted_resource_is_gone(tested: ProviderUnderTest, provider: ResourceProvider[Any]) -> None:
    """A second delete succeeds too. Another resource is not touched."""
    physical_id = created(provider, tested.properties).physical_id
    other = created(provider, tested.properties_of_another, OTHER_TOKEN).physical_id
    for _ in range(2):
        assert complete(lambda: provider.delete(physical_id)) is None
    if not tested.forgets:
        assert provider.read(physical_id) is None
        assert provider.find(TOKEN) is None
    assert provider.read(other) is not None


def test_what_was_never_made_is_not_found(tested: ProviderUnderTest, provider: ResourceProvider[Any]) -> None:
    """Deleting it succeeds."""
    if not tested.forgets:
        assert provider.find(TOKEN) is None
        assert provider.read("thing-unknown") is None
    assert complete(lambda: provider.delete("thing-unknown")) is None
