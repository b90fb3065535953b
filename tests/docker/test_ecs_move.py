"""An ECS service and its listener move to another target group under load."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from pipeline.balancer.model import TargetState
from tests.docker.ecs_stack import OWNER, EcsStack
from tests.docker.project import Project, until
from tests.docker.serving import serving
from tests.support.waiting import COMMAND_TIMEOUT

# The checks of target groups are at least 5 s apart, as in ELB, and each move waits for some.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

GROUP = """{
      VpcId: !Ref Network, Port: !Ref GroupPort, Protocol: HTTP, TargetType: ip, HealthCheckPath: /healthz,
      HealthCheckIntervalSeconds: 5, HealthCheckTimeoutSeconds: 2,
      TargetGroupAttributes: [{Key: deregistration_delay.timeout_seconds, Value: '5'}]}"""
TEMPLATE = """\
Parameters:
  Image: {Type: String}
  Listen: {Type: Number}
  GroupPort: {Type: Number, Default: 80}
  AppPort: {Type: Number, Default: 8080}
  Chosen: {Type: String, Default: first, AllowedValues: [first, second]}
Conditions:
  IsFirst: !Equals [!Ref Chosen, first]
Resources:
  Network: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/16}}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Network, CidrBlock: 10.0.0.0/24, AvailabilityZone: !Select [0, !GetAZs '']}
  Edge: {Type: 'AWS::ElasticLoadBalancingV2::LoadBalancer', Properties: {Subnets: [!Ref Subnet]}}
  First:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: <GROUP>
  Second:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: <GROUP>
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Edge
      Port: !Ref Listen
      Protocol: HTTP
      DefaultActions: [{Type: forward, TargetGroupArn: !If [IsFirst, !Ref First, !Ref Second]}]
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: web
      ContainerDefinitions:
        - Name: app
          Image: !Ref Image
          PortMappings: [{ContainerPort: !Ref AppPort}]
          Environment: [{Name: PORT, Value: !Ref AppPort}]
          Command: [python3, -u, app.py]
  Service:
    Type: AWS::ECS::Service
    DependsOn: Listener
    Properties:
      DesiredCount: 2
      TaskDefinition: !Ref Task
      LoadBalancers:
        - TargetGroupArn: !If [IsFirst, !Ref First, !Ref Second]
          ContainerName: app
          ContainerPort: !Ref AppPort
"""


@pytest.fixture
def stack(project: Project) -> Iterator[EcsStack]:
    """A home without a stack."""
    made = EcsStack(project)
    made.remove()
    made.template.write_text(TEMPLATE.replace("<GROUP>", GROUP))
    yield made
    made.remove()


def groups(stack: EcsStack) -> dict[str, set[str]]:
    """Return the healthy targets of each group that has any, by a part of its name."""
    registry = stack.balancer.registry()
    names = [group.name for group in registry.target_groups.values()]
    health = {name: stack.balancer.target_health(OWNER, name) for name in names}
    return {
        name.split("-")[1]: {h.target.id for h in found if h.state is TargetState.HEALTHY}
        for name, found in health.items()
        if found
    }


def test_a_service_moves_with_its_listener_and_loses_no_request(stack: EcsStack) -> None:
    """A changed port replaces the group, and all ports change at once. Then both move to a group of another name."""
    project, image = stack.project, stack.build("1")
    given = {"Image": image, "Listen": str(project.port)}
    project.pipeline(*stack.arguments("create", **given))
    before = {container.name for container in stack.containers()}
    assert groups(stack) == {"First": before}
    with project.load() as load:
        given |= {"GroupPort": "81", "AppPort": "9090"}
        project.pipeline(*stack.arguments("update", **given))
        between = {container.name for container in stack.containers()}
        assert groups(stack) == {"First": between}
        given |= {"Chosen": "second"}
        project.pipeline(*stack.arguments("update", **given))
        report = load.stop()
    after = {container.name for container in stack.containers()}
    assert report.failed == 0
    assert groups(stack) == {"Second": after}
    assert len(before | between | after) == 6
    project.pipeline("stack", "delete", "shop")
    assert stack.services == ()
    assert list(stack.balancer.registry().target_groups) == []


def test_a_move_that_is_killed_is_completed_by_the_daemon(stack: EcsStack) -> None:
    """It is undone and repeated, whatever the listener has done by then, and no request is lost."""
    project, image = stack.project, stack.build("1")
    given = {"Image": image, "Listen": str(project.port)}
    project.pipeline(*stack.arguments("create", **given))
    before = {container.name for container in stack.containers()}
    with project.load() as load:
        process = project.start(*stack.arguments("update", **given, Chosen="second"))
        until(lambda: {c.name for c in stack.containers()} - before, "a new container")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=COMMAND_TIMEOUT)
        with serving(project):
            until(
                lambda: list(groups(stack)) == ["Second"] and len(groups(stack)["Second"]) == 2, "the end of the move"
            )
            report = load.stop()
    assert report.failed == 0
    assert before.isdisjoint(container.name for container in stack.containers())
